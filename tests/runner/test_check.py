"""Checks in processes of their own: rows, failures, and one that ends its process."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from vigbench.ops import registry
from vigbench.ops.declaration import load_target
from vigbench.records import checks
from vigbench.records.schema import Status
from vigbench.runner import check as checking
from vigbench.runner.check import carrier, check, unchecked_line, units, used_by
from vigbench.suites.axes import Device
from vigbench.suites.case import Case
from vigbench.worker.check_unit import Unit, check_here
from vigbench.worker.messages import Outcome

CONV = Unit("causal_conv", "torch", "float32")


def test_a_unit_passes_in_a_worker_and_one_that_cannot_run_says_why() -> None:
    rows = {row.name: row for row in check([CONV, Unit("gla", "triton_fused", "float32")], Device.cpu, jobs=1)}
    assert rows[CONV.name].status is Status.ok
    assert rows[CONV.name].samples > 0
    unsupported = rows["gla/triton_fused/float32"]
    assert unsupported.status is Status.unsupported
    assert not unsupported.failed
    assert "not on cpu" in unsupported.reason


def test_a_wrong_result_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._OPERATORS, "causal_conv", replace(ORIGINAL, samples=_shifted))
    outcome = check_here(carrier(Device.cpu), json.dumps({"operator": "causal_conv", "implementation": "torch",
                                                          "precision": "float32"}))  # fmt: skip
    assert outcome.status is Status.wrong_result


ORIGINAL = registry.get_operator("causal_conv")


def _shifted(device: torch.device, dtype: torch.dtype) -> Any:
    for sample in load_target(ORIGINAL.samples)(device, dtype):
        run = sample.run
        # wrong in the checked precision only
        yield replace(sample, run=lambda name, *xs, run=run: run(name, *xs) + (1e-3 if xs[0].dtype == dtype else 0))


def test_a_process_that_dies_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    died = Outcome(status=Status.crashed, reason="The worker was killed by SIGSEGV.")
    monkeypatch.setattr(checking, "run_in_worker", lambda *_, **__: died)
    other = Unit("gated_norm", "torch", "float32")
    rows = list(check([CONV, other], Device.cpu, jobs=2))
    assert {row.name for row in rows} == {CONV.name, other.name}
    assert all(row.failed and "SIGSEGV" in row.reason for row in rows)


def test_what_has_not_passed_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    environment = {"torch": "2.11", "packages": {"triton": "3.6"}, "gpu": {"driver": "580"}}
    cases = [
        Case(subject="vig_tiny_patch16_224", implementation="triton_fused", resolution=64, device="cuda"),
        Case(subject="vig_tiny_patch16_224", implementation="triton_fused", resolution=96, device="cuda"),
        Case(subject="resnet18", resolution=64, device="cuda"),
    ]
    line = unchecked_line("NVIDIA H200", environment, used_by(cases))
    assert line is not None
    assert "gla/triton_fused/float32" in line
    assert "vigbench check" in line
    assert "\n" not in line
    checks.keep(checks.checked_here("NVIDIA H200", environment), {"gla/triton_fused/float32": True})
    assert unchecked_line("NVIDIA H200", environment, used_by(cases)) is None


@pytest.mark.parametrize(("asked", "message"), [
    ({"operators": ["glaa"]}, "--operator 'glaa' is unknown"),
    ({"implementations": ["tritn_fused"]}, "--implementation"),
    ({"precisions": ["fp7"]}, "--precision"),
])  # fmt: skip
def test_unknown_names_are_refused(asked: dict[str, list[str]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        units(**asked)


def test_what_passed_is_kept_for_these_versions_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    environment = {"torch": "2.11", "packages": {"triton": "3.6"}, "gpu": {"driver": "580"}}
    here = checks.checked_here("NVIDIA H200", environment)
    checks.keep(here, {"gla/triton_fused/float32": True, "gla/triton_fused/bfloat16": False})
    checks.keep(here, {"scan/triton_fused/float32": True})
    assert checks.passed(here) == {"gla/triton_fused/float32", "scan/triton_fused/float32"}
    assert checks.unchecked(here, ["gla/triton_fused/bfloat16", "scan/triton_fused/float32"]) == [
        "gla/triton_fused/bfloat16"
    ]
    for field in here._fields:
        assert not checks.passed(here._replace(**{field: "other"}))


def test_a_file_that_nobody_can_read_counts_as_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    checks.checks_file().parent.mkdir()
    checks.checks_file().write_text("{torn")
    assert checks.passed(checks.checked_here("a CPU (2 threads)", {"torch": "2"})) == set()
