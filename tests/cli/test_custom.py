"""Subjects without a suite, from the command line."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.commands import outcome

Invoke = Callable[..., tuple[int, str, str]]
MODULE = """
from torch import nn

def make_net(): return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
def raises(): raise RuntimeError("no licence")
"""


@pytest.fixture
def invoke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Invoke]:
    """vigbench in a folder with the module `typed_nets`, which is not on sys.path."""
    (tmp_path / "typed_nets.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one])

    yield outcome
    sys.modules.pop("typed_nets", None)


@pytest.mark.parametrize("command", [["plan"], ["run", "--plan"]])
def test_a_plan_of_named_subjects_needs_no_suite(invoke: Invoke, command: list[str]) -> None:
    subjects = "typed_nets:make_net,resnet18"
    code, said, errors = invoke(*command, "--subject", subjects, "--resolution", "64,32", "--device", "cpu")
    assert code == 0, errors
    lines = said.splitlines()
    assert [line.split("  ")[1].strip() for line in lines[:4]] == [
        f"{subject} {side}px b1 float32" for side in (32, 64) for subject in subjects.split(",")
    ]
    assert "4 cases on cpu" in lines[4]
    assert "budget 5 min 00 s" in lines[4]


def test_operators_need_no_suite_either(invoke: Invoke) -> None:
    code, said, errors = invoke(
        "plan", "--subject", "gla", "--length", "64", "--shape", "2x4x8", "--device", "cpu", "--budget", "20s"
    )
    assert code == 0, errors
    assert "gla [torch_chunk] 2x4x8 64 tokens b1 float32" in said


@pytest.mark.parametrize(
    ("chosen", "planned"),
    [
        ("eager", ["deit_tiny_patch16_224 [eager]"]),
        (
            "auto,eager",
            [
                "vig_tiny_patch16_224 [torch_chunk]",
                "deit_tiny_patch16_224 [sdpa]",
                "deit_tiny_patch16_224 [eager]",
                "resnet18",
            ],
        ),
        ("torch_*,sdpa", ["vig_tiny_patch16_224 [torch_chunk]", "deit_tiny_patch16_224 [sdpa]"]),
        ("default", ["resnet18"]),
    ],
)
def test_any_implementation_of_a_named_subject_can_be_asked_for(
    invoke: Invoke, chosen: str, planned: list[str]
) -> None:
    subjects = "vig_tiny_patch16_224,deit_tiny_patch16_224,resnet18"
    words = ["--subject", subjects, "--implementation", chosen, "--resolution", "64", "--device", "cpu"]
    code, said, errors = invoke("plan", *words)
    assert code == 0, errors
    found = [line.split("  ")[1].split(" 64px")[0] for line in said.splitlines()[:-1]]
    assert found == planned


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["run"], "Or name subjects: vigbench run --subject my_pkg.models:make_net --resolution 224,512"),
        (["plan"], "Or name subjects: vigbench plan --subject"),
        (["run", "--resolution", "64"], "Name a suite"),
        (["plan", "--subject", "vig*"], "Name each subject in full"),
        (["plan", "--subject", "resnet18,,resnet34"], "name is empty"),
        (["plan", "--subject", "gla", "--device", "cpu"], "gla is an operator: give it --length and --shape"),
        (["plan", "--subject", "gla", "--length", "64"], "both --length and --shape"),
        (["plan", "--subject", "resnet81"], "resnet"),
        (
            ["plan", "--subject", "deit_tiny_patch16_224", "--implementation", "torch_chunk"],
            "No subject here has the implementation torch_chunk. They have: sdpa, eager",
        ),
        (["plan", "--subject", "typed_nets:make_nett", "--device", "cpu"], "did you mean 'make_net'"),
        (["run", "--subject", "typed_nets:raises", "--device", "cpu"], "raised RuntimeError: no licence"),
        (["run", "--subject", "typed_nests:make_net", "--device", "cpu"], "no module 'typed_nests'"),
        (["run", "--suite", "smoke", "--subject", "typed_nets:raises", "--device", "cpu"], "no licence"),
        (["duel", "typed_nets:raises", "resnet18", "--device", "cpu"], "no licence"),
    ],
)
def test_mistakes_are_one_line_and_nothing_is_made(
    invoke: Invoke, tmp_path: Path, arguments: list[str], expected: str
) -> None:
    code, said, errors = invoke(*arguments)
    assert code == 2
    assert expected in errors
    assert errors.count("\n") == 1
    assert said == ""
    assert not (tmp_path / "results").exists()


def test_plug_ins_are_listed_with_their_package_and_refused_ones_with_the_reason(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "site" / "demo_nets-0.3.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: demo-nets\nVersion: 0.3\n")
    entries = ["typed_net = typed_nets:make_net", "resnet26 = typed_nets:make_net", "lost_net = typed_nests:make_net"]
    (folder / "entry_points.txt").write_text("\n".join(["[vigbench.subjects]", *entries]) + "\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site"), *sys.path])
    code, said, errors = invoke("list", "subjects", "*_net")
    assert code == 0, errors
    assert said.splitlines() == [
        "lost_net   plug-in of demo-nets 0.3: typed_nests:make_net",
        "typed_net  plug-in of demo-nets 0.3: typed_nets:make_net",
    ]
    assert "plug-in of demo-nets 0.3, refused: a timm model has this name" in invoke("list", "subjects", "resnet26")[1]
    code, _, errors = invoke("plan", "--subject", "resnet26", "--device", "cpu")
    assert code == 2
    assert "Rename its entry point, or uninstall the package" in errors
    code, said, errors = invoke("plan", "--subject", "lost_net,resnet18", "--resolution", "64", "--device", "cpu")
    assert code == 0, errors  # what is wrong with it, its record will say
    assert "2 cases" in said
