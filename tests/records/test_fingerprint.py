import copy
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from vigbench.records import fingerprint as module
from vigbench.records.fingerprint import FIELDS, code_hash, differences, digest, fingerprint, resume_differences
from vigbench.suites import loader

ROOT = Path(__file__).parents[2]
CPU_RUN = json.loads((ROOT / "results" / "resolution-scaling-cpu-20261121" / "run.json").read_text())
GPU = {
    "name": "NVIDIA H200",
    "multiprocessors": 132,
    "cuda": "13.2",
    "cudnn": 91900,
    "driver": "590.1",
    "power_limit_w": 700.0,
    "temperature_c": 31,
    "sm_clock_mhz": 345,
}


@pytest.fixture
def info() -> dict[str, Any]:
    """A `run.json` of a run on a GPU."""
    info: dict[str, Any] = copy.deepcopy(CPU_RUN)
    info.update(device="cuda", device_name="NVIDIA H200", code="0123")
    info["environment"]["gpu"] = dict(GPU)
    return info


def put(info: dict[str, Any], path: str, value: object) -> None:
    *parents, last = path.split(".")
    for key in parents:
        info = info[key]
    info[last] = value


def test_every_field_is_recorded_by_a_run_or_is_an_optional_package(info: dict[str, Any]) -> None:
    empty = {name for name, value in fingerprint(info).items() if not value}
    assert empty == {"flash_attn", "mamba_ssm", "causal_conv1d", "flash_linear_attention", "monai", "nnunet"}
    on_cpu = {name for name, value in fingerprint(CPU_RUN).items() if not value} - empty
    assert on_cpu == {"gpu_multiprocessors", "gpu_power_limit_w", "driver", "cuda", "cudnn"}
    assert all(field.why for field in FIELDS.values())


@pytest.mark.parametrize("name", FIELDS)
def test_a_change_of_any_field_is_named_and_changes_the_digest(info: dict[str, Any], name: str) -> None:
    base = fingerprint(info)
    put(info, FIELDS[name].path, "another 99.9")
    head = fingerprint(info)
    assert differences(base, head) == {name: (base[name], head[name])}
    assert digest(base) != digest(head)
    assert differences(base, base) == {}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("environment.git_commit", "ffff"),
        ("code", "ffff"),
        ("environment.platform", "Linux 7.1.0-rebuilt x86_64"),
        ("environment.python", "3.11.99"),
        ("environment.packages.numpy", "9.9"),
        ("environment.packages.pandas", "9.9"),
        ("environment.cpu.load_average_1min", 77.0),
        ("environment.memory_gib.available", 1.0),
        ("environment.gpu.temperature_c", 80),
        ("environment.gpu.sm_clock_mhz", 1980),
        ("started_at", "later"),
        ("run", "another"),
    ],
)
def test_what_changes_no_meaning_changes_no_fingerprint(info: dict[str, Any], path: str, value: object) -> None:
    base = fingerprint(info)
    put(info, path, value)
    assert fingerprint(info) == base


def test_a_fingerprint_can_be_taken_of_whatever_was_recorded() -> None:
    assert set(fingerprint({})) == set(FIELDS)
    assert set(fingerprint({}).values()) == {""}
    assert fingerprint({"environment": None, "protocol": 1})["protocol"] == "1"


def test_a_digest_is_short_and_blind_to_fields_without_a_value(info: dict[str, Any]) -> None:
    base = fingerprint(info)
    assert len(digest(base)) == 12
    assert int(digest(base), 16) >= 0
    assert digest(base) == digest(dict(reversed(base.items()))) == digest({**base, "a later field": ""})
    assert differences({"old": "1"}, {"new": "2"}) == {"old": ("1", ""), "new": ("", "2")}


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout of its own, which the hash looks at."""
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "vigbench", tmp_path / "vigbench", ignore=ignore)
    shutil.copytree(ROOT / "suites", tmp_path / "suites")
    monkeypatch.setattr(module, "_PACKAGE", tmp_path / "vigbench")
    shipped = tmp_path / "vigbench" / "suites" / "shipped"
    monkeypatch.setattr(loader, "_FOLDERS", (shipped, tmp_path / "suites"))
    return tmp_path


def test_the_code_s_hash_is_the_same_in_another_place_and_when_installed(copied: Path) -> None:
    in_checkout = code_hash()
    assert len(in_checkout) == 12
    shutil.move(copied / "suites", copied / "vigbench" / "suites" / "shipped")
    (copied / "vigbench" / "__pycache__").mkdir()
    (copied / "vigbench" / "__pycache__" / "x.pyc").write_bytes(b"not code")
    assert code_hash() == in_checkout


@pytest.mark.parametrize("change", ["content", "suite", "new", "renamed", "gone"])
def test_any_change_of_the_code_changes_its_hash(copied: Path, change: str) -> None:
    before = code_hash()
    file = copied / "vigbench" / "records" / "store.py"
    match change:
        case "content":
            file.write_bytes(file.read_bytes() + b" ")
        case "suite":
            suite = copied / "suites" / "smoke.yaml"
            suite.write_bytes(suite.read_bytes() + b"# a comment\n")
        case "new":
            file.with_name("new.py").write_text("")
        case "renamed":
            file.rename(file.with_name("shop.py"))
        case "gone":
            file.unlink()
    assert code_hash() != before


def test_a_run_continued_as_it_was_started_differs_in_nothing(info: dict[str, Any]) -> None:
    now = copy.deepcopy(info)
    now.update(started_at="later", command_line=["vigbench", "run", "--resume", "x"])
    now["environment"]["git_commit"] = "ffff"
    assert resume_differences(info, now) == {}


def test_what_changed_since_a_run_was_started_is_named(info: dict[str, Any]) -> None:
    now = copy.deepcopy(info)
    now["code"] = "4567"
    now["environment"]["torch"] = "2.16.0"
    now["suite_definition"]["question"] = "Why?"
    now["suite_definition"]["profiles"]["cpu"]["resolution"] = [224]
    then = info["suite_definition"]
    assert resume_differences(info, now) == {
        "code": ("0123", "4567"),
        "torch": (info["environment"]["torch"], "2.16.0"),
        "suite_definition.question": (json.dumps(then["question"]), '"Why?"'),
        "suite_definition.profiles.cpu.resolution": (json.dumps(then["profiles"]["cpu"]["resolution"]), "[224]"),
    }


def test_a_run_that_did_not_record_its_code_differs(info: dict[str, Any]) -> None:
    now = copy.deepcopy(info)
    del info["code"]
    assert resume_differences(info, now) == {"code": ("", "0123")}
