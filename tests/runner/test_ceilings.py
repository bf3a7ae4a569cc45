import pytest

from vigbench.records.schema import Status
from vigbench.runner import ceilings
from vigbench.runner.ceilings import measure_ceilings
from vigbench.suites.case import Case, Precision
from vigbench.worker.messages import Job, Outcome

GLA = Case(subject="gla", length=16, heads=1, key_dim=4, value_dim=4, threads=1)
MODEL = Case(subject="resnet50", resolution=64)


def test_one_worker_for_each_precision_of_the_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Case] = []

    def run(job: Job, **_: object) -> Outcome:
        asked.append(job.case)
        return Outcome(status=Status.ok, description='{"copy_gb_per_s": 1.0, "product_tflop_per_s": 2.0}')

    monkeypatch.setattr(ceilings, "run_in_worker", run)
    longer, half = (GLA.model_copy(update=change) for change in ({"length": 32}, {"precision": Precision.bfloat16}))
    found = measure_ceilings([GLA, longer, half, GLA.model_copy(update={"tf32": True}), MODEL])
    assert list(found) == ["float32", "bfloat16", "tf32"]
    assert len(asked) == 3
    assert MODEL not in asked
    assert measure_ceilings([MODEL]) == {}


def test_what_cannot_be_measured_is_said_and_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = Outcome(status=Status.timeout, reason="Stopped after 2 min.")
    monkeypatch.setattr(ceilings, "run_in_worker", lambda *_, **__: failed)
    assert measure_ceilings([GLA]) == {}
    assert "ceilings in float32 could not be measured: Stopped after 2 min." in capsys.readouterr().err
