"""What a model cannot take is `unsupported` in words that fit; what it can is measured."""

import pytest
import torch

from vigbench.records.schema import Status
from vigbench.suites.case import Case
from vigbench.worker.measure_case import measure_case
from vigbench.worker.messages import Outcome

SUBJECTS = "tests.worker.odd_subjects"


def measured(name: str, **settings: object) -> Outcome:
    case = Case.model_validate({"subject": f"{SUBJECTS}:{name}", "resolution": 64, "threads": 1, **settings})
    return measure_case(case, 0.1, lambda stage: None)


@pytest.mark.parametrize(
    ("name", "settings", "reason"),
    [
        ("TwoInputs", {}, "is called with 1 input, and its forward is missing 1 required positional argument: 'y'"),
        ("grey", {}, "takes images of 1 channel and is fed 3"),
        ("Lazy", {}, "layers that take their size from a first input (stem.weight)"),
        ("on_meta", {}, "a tensor without values (stem.weight, on the meta device)"),
        ("MetaConstant", {}, "a tensor without values (tables.mean.0, on the meta device)"),
        ("OneSize", {}, "does not take 64 px"),
        ("NoSize", {}, "does not run on its inputs (image (1, 3, 64, 64))"),
        ("Asserts", {}, "does not run on its inputs"),
        ("ChangesInput", {}, "changes its input in place"),
        ("ChangesInput", {"phase": "training"}, "changes its input in place"),
        ("ChangesInputInTraining", {"phase": "training"}, "changes its input in place"),
        ("Frozen", {"phase": "training"}, "No gradient reaches a parameter"),
        ("Frozen", {"phase": "training_step"}, "--phase inference"),
        ("Detached", {"phase": "training"}, "No gradient reaches a parameter"),
        ("Labels", {"phase": "training"}, "No output of the model is a number that can be trained"),
        ("Complex", {"phase": "training"}, "No output of the model is a number that can be trained"),
        ("BatchNorm", {"phase": "training"}, "choose a larger --batch-size"),
        ("BatchNorm", {"phase": "training_step"}, "choose a larger --batch-size"),
    ],
)
def test_what_cannot_be_measured_says_why(name: str, settings: dict[str, str], reason: str) -> None:
    outcome = measured(name, **settings)
    assert outcome.status is Status.unsupported, outcome.reason
    assert reason in outcome.reason
    if name != "OneSize":
        assert "does not take 64 px" not in outcome.reason


def test_a_precision_without_a_kernel_is_said_in_torchs_words() -> None:
    with pytest.raises(RuntimeError) as missing:  # or NotImplementedError, a kind of it, in other versions of torch
        torch.fft.rfft2(torch.ones(2, 2, dtype=torch.bfloat16))
    outcome = measured("Spectral", precision="bfloat16")
    assert outcome.status is Status.unsupported, outcome.reason
    assert f"cannot run in bfloat16 on this device: {missing.type.__name__}: " in outcome.reason


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("Small", {}),
        ("Small", {"precision": "bfloat16"}),
        ("FrozenStem", {"phase": "training"}),
        ("FrozenStem", {"phase": "training_step"}),
        ("IntegerStem", {}),
        ("IntegerStem", {"phase": "training"}),
        ("IntegerStem", {"phase": "training_step"}),
        ("BatchNorm", {"phase": "training", "batch_size": 2}),
        ("Auxiliary", {"phase": "training"}),
        ("Auxiliary", {"phase": "training_step"}),
        ("Complex", {}),
        ("OneSize", {"resolution": 32}),
        ("Noisy", {}),
    ],
)
def test_what_can_be_measured_is(name: str, settings: dict[str, str]) -> None:
    outcome = measured(name, **settings)
    assert outcome.status is Status.ok, outcome.reason
    assert outcome.metrics.gmacs is not None
    assert outcome.metrics.latency_ms is not None


def test_a_fault_of_the_model_s_code_is_an_error_with_its_own_words() -> None:
    outcome = measured("Mistaken")
    assert outcome.status is Status.error
    assert "AttributeError" in outcome.reason
    assert "there_is_none" in outcome.reason


def test_a_missing_count_costs_no_measurement() -> None:
    outcome = measured("Uncountable")
    assert outcome.status is Status.ok, outcome.reason
    assert "uncounted" in outcome.marks
    assert outcome.metrics.gmacs is None
    assert outcome.metrics.params == 3 * 16 * 9 + 16 + 16 * 10 + 10
    assert outcome.metrics.uncounted_operators is not None
    assert "cannot pickle" in outcome.metrics.uncounted_operators
    assert outcome.metrics.latency_ms is not None


def test_randomness_in_inference_is_no_fault_of_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    compile_ = torch.compile
    monkeypatch.setattr(torch, "compile", lambda model: compile_(model, backend="eager"))
    torch._dynamo.reset()
    outcome = measured("Noisy", compile=True)
    assert outcome.status is Status.ok, outcome.reason
    assert "unverified" in outcome.marks
