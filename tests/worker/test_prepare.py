"""What ran is proved against the label, after timing and before anything is reported."""

from dataclasses import replace

import pytest

from vigbench.records.schema import Status
from vigbench.suites.case import Case
from vigbench.worker import contest as contest_module
from vigbench.worker.check_subject import WrongResultError
from vigbench.worker.contest import contest
from vigbench.worker.measure_case import measure_case
from vigbench.worker.messages import BlockRequest, Durations, Message, Outcome, Ready
from vigbench.worker.prepare import Prepared, prepare, prove_path

EAGER = Case(subject="deit_tiny_patch16_224", implementation="eager", resolution=32, threads=1)
SDPA = EAGER.model_copy(update={"implementation": "sdpa"})


@pytest.fixture(scope="module")
def mislabelled() -> Prepared:
    """A model that ignored its switch: the label says eager, and scaled_dot_product_attention runs."""
    eager, sdpa = (prepare(case, 0.1, lambda stage: None) for case in (EAGER, SDPA))
    assert "aten::linear" in prove_path(eager).operators
    return replace(eager, call=sdpa.call)


def test_a_label_that_is_not_what_ran_is_a_wrong_result(mislabelled: Prepared) -> None:
    with pytest.raises(WrongResultError, match="says attention/eager, but aten::bmm did not run") as error:
        prove_path(mislabelled)
    assert error.value.path is not None
    assert error.value.path.sdpa_backend == "flash"


def test_its_timing_reaches_no_record(mislabelled: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vigbench.worker.measure_case.prepare", lambda *_: mislabelled)
    outcome = measure_case(EAGER, 0.1, lambda stage: None)
    assert outcome.status is Status.wrong_result
    assert "Its timing was discarded" in outcome.reason
    assert outcome.metrics.latency_ms is None
    assert not outcome.samples
    assert any("scaled_dot_product" in name for name in outcome.operators), "what ran is kept"


@pytest.mark.parametrize("wrong", [False, True])
def test_a_contestant_proves_its_path_after_its_blocks(
    wrong: bool, mislabelled: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = prepare(EAGER, 0.1, lambda stage: None)
    monkeypatch.setattr(contest_module, "prepare", lambda *_: mislabelled if wrong else right)
    said: list[Message] = []
    blocks = iter([BlockRequest(calls=2), BlockRequest(calls=3), BlockRequest(calls=0)])
    contest(EAGER, 0.1, said.append, lambda: next(blocks))
    ready, first, second, *end = said
    assert isinstance(ready, Ready)
    assert [len(one.seconds) for one in (first, second) if isinstance(one, Durations)] == [2, 3]
    last = end[-1]
    assert isinstance(last, Outcome)
    assert last.status is (Status.wrong_result if wrong else Status.ok)
    assert end[:-1] == ([] if wrong else [Durations(seconds=())]), "a wrong one never answers as if it were right"


@pytest.mark.parametrize(
    ("subject", "implementation", "resolution", "reason"),
    [
        (
            "swin_tiny_patch4_window7_224",
            "flex",
            64,
            "flex stands for plain attention here, and this model's has a mask",
        ),
        ("hiera_tiny_224", "sdpa_flash", 224, "sdpa_flash has no kernel for this attention on this device"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")  # torch says why the backend cannot
def test_an_attention_that_cannot_compute_a_model_s_is_unsupported(
    subject: str, implementation: str, resolution: int, reason: str
) -> None:
    case = Case(subject=subject, implementation=implementation, resolution=resolution, threads=1)
    outcome = measure_case(case, 0.1, lambda stage: None)
    assert outcome.status is Status.unsupported
    assert outcome.reason.startswith(reason)
    assert "choose sdpa" in outcome.reason
