import json
import sys
from pathlib import Path

import pytest

import vigbench
from vigbench.measure.environment import device_name
from vigbench.records.fingerprint import code_hash
from vigbench.records.schema import Status
from vigbench.runner import machine
from vigbench.runner.machine import describe_machine, measure_ceilings
from vigbench.runner.process import run_in_worker
from vigbench.suites.axes import Device, Precision
from vigbench.suites.case import Case
from vigbench.worker.messages import Errand, Job, Outcome

CASE = Case(subject="resnet18", resolution=32, threads=1)
GLA = Case(subject="gla", length=16, heads=1, key_dim=4, value_dim=4, threads=1)


def test_a_worker_describes_the_machine_as_this_process_does() -> None:
    outcome = run_in_worker(Job(case=CASE, errand=Errand.describe), timeout_s=1200, on_stage=lambda stage: None)
    there, here = json.loads(outcome.description), describe_machine(CASE)
    assert there["device_name"] == device_name("cpu", 1)
    for described in (there, here):
        for volatile in ("cpu", "memory_gib"):  # load and free memory
            del described["environment"][volatile]
    assert there == here


def test_an_environment_without_vigbench_is_said(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')  # no installed packages
    python.chmod(0o755)
    with pytest.raises(ValueError, match=r"The vigbench of .*python cannot be described: .*No module named"):
        describe_machine(CASE, str(python))


@pytest.mark.slow
def test_a_relative_path_to_another_python_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "env" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{Path(vigbench.__file__).parents[1]}" exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    assert describe_machine(CASE, "env/bin/python")["code"] == code_hash()


def test_a_cuda_device_that_cannot_be_asked_is_said() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(ValueError, match="cannot be described"):
        describe_machine(CASE.model_copy(update={"device": Device.cuda}))


def test_one_worker_for_each_precision_of_the_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Case] = []

    def run(job: Job, **_: object) -> Outcome:
        asked.append(job.case)
        return Outcome(status=Status.ok, description='{"copy_gb_per_s": 1.0, "product_tflop_per_s": 2.0}')

    monkeypatch.setattr(machine, "run_in_worker", run)
    longer, half = (GLA.model_copy(update=change) for change in ({"length": 32}, {"precision": Precision.bfloat16}))
    found = measure_ceilings([GLA, longer, half, GLA.model_copy(update={"tf32": True})])
    assert list(found) == ["float32", "bfloat16", "tf32"]
    assert len(asked) == 3
    assert measure_ceilings([]) == {}


def test_what_cannot_be_measured_is_said_and_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = Outcome(status=Status.timeout, reason="Stopped after 2 min.")
    monkeypatch.setattr(machine, "run_in_worker", lambda *_, **__: failed)
    assert measure_ceilings([GLA]) == {}
    assert "ceilings in float32 could not be measured: Stopped after 2 min." in capsys.readouterr().err
