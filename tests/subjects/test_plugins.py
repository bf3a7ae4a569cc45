"""Subjects that installed packages bring."""

import sys
from pathlib import Path

import pytest

from vigbench.subjects.catalog import describe, list_subjects, resolve_implementations
from vigbench.subjects.own import is_own, own_target, subject_plugins


def install(site: Path, name: str, version: str, *entries: str) -> None:
    """Write the metadata of a package that brings subjects."""
    folder = site / f"{name.replace('-', '_')}-{version}.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (folder / "entry_points.txt").write_text("\n".join(["[vigbench.subjects]", *entries]) + "\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of installed packages."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    return folder


def test_a_plug_in_is_a_subject_and_naming_it_imports_nothing(site: Path) -> None:
    install(site, "demo-nets", "0.3", "plugged_net = never_imported.models : make_net")
    assert list_subjects("plugged_*") == ["plugged_net"]
    assert "plugged_net" in list_subjects()
    assert own_target("plugged_net") == "never_imported.models:make_net"
    assert subject_plugins()["plugged_net"].distribution == "demo-nets 0.3"
    subject = describe("plugged_net")
    assert (subject.family, subject.operator) == ("other", None)
    assert resolve_implementations("plugged_net", [], "cpu") == ["default"]
    assert is_own("plugged_net")
    assert is_own("some.module:factory")
    assert not is_own("resnet18")
    assert "never_imported" not in sys.modules


@pytest.mark.parametrize(
    ("entry", "name", "expected"),
    [
        ("resnet26 = nets:make", "resnet26", r"demo-nets 0\.3 is refused: a timm model has this name\. Rename"),
        ("vig_tiny_patch16_224 = nets:make", "vig_tiny_patch16_224", "a timm model has this name"),
        ("gla_one_direction = nets:make", "gla_one_direction", "an operator has this name"),
        ("my net = nets:make", "my net", "rename the entry point"),
        ("plugged_module = nets.models", "plugged_module", r"write package\.module:factory"),
    ],
)
def test_what_could_be_mistaken_is_refused_with_advice(site: Path, entry: str, name: str, expected: str) -> None:
    install(site, "demo-nets", "0.3", entry, "fine_net = nets:make")
    with pytest.raises(ValueError, match=expected):
        own_target(name)
    assert subject_plugins()[name].problem
    assert list_subjects("fine_*") == ["fine_net"]


def test_two_packages_cannot_bring_the_same_name(site: Path) -> None:
    install(site, "demo-nets", "0.3", "twice_net = nets:make")
    install(site, "other-nets", "1.0", "twice_net = other:make")
    with pytest.raises(ValueError, match="both bring a subject of this name: uninstall one"):
        own_target("twice_net")
    assert list_subjects("twice_*") == []


def test_a_package_without_metadata_still_brings_its_subject(site: Path) -> None:
    install(site, "demo-nets", "0.3", "bare_net = nets:make")
    (site / "demo_nets-0.3.dist-info" / "METADATA").unlink()
    assert own_target("bare_net") == "nets:make"
    assert subject_plugins()["bare_net"].distribution == "an unknown package"
