from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from vigbench.ops import registry
from vigbench.ops.declaration import Limit
from vigbench.ops.registry import get_operator
from vigbench.subjects.operators import OPERATORS
from vigbench.subjects.sequence import SEQUENCES, OperatorCall, SequenceTask
from vigbench.subjects.task import Inputs
from vigbench.suites.axes import Phase
from vigbench.suites.case import Case
from vigbench.worker import check_subject
from vigbench.worker.check_subject import CheckResult, WrongResultError
from vigbench.worker.measure_case import measure_case

GLA = Case(
    subject="gla", implementation="torch_chunk", length=200, heads=2, key_dim=8, value_dim=16, batch_size=2, threads=1
)
TRAINING = GLA.model_copy(update={"phase": Phase.training})


def check(case: Case, inputs: Inputs | None = None) -> CheckResult:
    task = SEQUENCES[case.subject]
    inputs = task.make_inputs(case) if inputs is None else inputs
    return check_subject.check(task.build(case), case, task, task.subject.operator, inputs)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("phase", ["inference", "training"])
@pytest.mark.parametrize(
    ("subject", "implementation"),
    [
        ("gla", "torch_chunk"),
        ("gla_from_logits", "torch_chunk"),
        ("gla_one_direction", "torch_chunk"),
        ("attention", "sdpa"),
        ("causal_attention", "sdpa"),
        ("gla", "reference"),
    ],
)
def test_right_implementations_pass(subject: str, implementation: str, phase: str, precision: str) -> None:
    settings = {"subject": subject, "implementation": implementation, "phase": phase, "precision": precision}
    case = Case.model_validate({**GLA.model_dump(), **settings})
    inputs = SEQUENCES[subject].make_inputs(case)
    found = check(case, inputs)
    assert (found.size, found.unverified) == ({"length": 200}, False)
    assert found.error is not None
    assert found.error <= get_operator(OPERATORS[subject].operator).tolerance[precision]
    assert (found.gradient_error is None) == (phase == "inference")
    assert all(one.grad is None for one in inputs.values())


def compare_at_most(monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    short = replace(get_operator("gla"), longest=Limit(length, length))
    monkeypatch.setitem(registry._OPERATORS, "gla", short)


class _Scaled(torch.autograd.Function):
    """Output and gradient times factors of their own."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, output: float, gradient: float) -> Tensor:
        ctx.gradient = gradient
        return x * output

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return grad * ctx.gradient, None, None


def break_chunks(monkeypatch: pytest.MonkeyPatch, output: float, gradient: float) -> None:
    right = OperatorCall.forward

    def forward(self: OperatorCall, *inputs: Tensor) -> Tensor:
        out = right(self, *inputs)
        return _Scaled.apply(out, output, gradient) if self.implementation == "torch_chunk" else out

    monkeypatch.setattr(OperatorCall, "forward", forward)


def test_a_wrong_output_and_a_wrong_gradient_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    break_chunks(monkeypatch, 1 + 1e-5, 1.0)
    with pytest.raises(WrongResultError, match=r"The output with torch_chunk .* 200 tokens; 2e-06 is allowed"):
        check(GLA)
    break_chunks(monkeypatch, 1 / (1 + 1e-5), 1 + 1e-5)  # on top of the first: the output is right again
    with pytest.raises(WrongResultError, match="The gradient of q with torch_chunk"):
        check(TRAINING)


def test_what_is_not_finite_is_caught_wherever_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = SEQUENCES["gla"].make_inputs(GLA)
    inputs["v"][1, 150] = torch.nan  # in a sequence that is not compared
    with pytest.raises(WrongResultError, match="NaN"):
        check(GLA, inputs)


@pytest.mark.parametrize("phase", [Phase.inference, Phase.training])
def test_the_end_of_the_whole_call_is_compared_too(monkeypatch: pytest.MonkeyPatch, phase: Phase) -> None:
    case = GLA.model_copy(update={"length": 3000, "phase": phase})
    compare_at_most(monkeypatch, 128)
    assert check(case).size == {"length": 128}
    right = OperatorCall.forward

    def forward(self: OperatorCall, *inputs: Tensor) -> Tensor:
        out = right(self, *inputs)
        whole = out.shape[:2] == (2, 3000)
        return torch.cat([out[:1], out[1:].roll(1, dims=1)]) if whole else out

    monkeypatch.setattr(OperatorCall, "forward", forward)
    with pytest.raises(WrongResultError, match="at the end of the last sequence, 3000 tokens"):
        check(case)


def test_a_gradient_that_is_missing_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    right = OperatorCall.forward

    def forward(self: OperatorCall, *inputs: Tensor) -> Tensor:
        if self.implementation == "reference":
            return right(self, *inputs)
        return right(self, *(one.detach() for one in inputs)) + 0 * inputs[2]

    monkeypatch.setattr(OperatorCall, "forward", forward)
    with pytest.raises(WrongResultError, match="no gradient of q"):
        check(TRAINING)


def test_the_gate_goes_down_to_a_length_at_which_the_reference_is_quick_or_fits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compare_at_most(monkeypatch, 128)
    assert check(GLA).size == {"length": 128}
    right = SequenceTask.result

    def too_large(self: SequenceTask, model: Any, inputs: Inputs, trains: bool) -> Any:
        if model.implementation == "reference" and inputs["q"].shape[1] > 64:
            raise MemoryError
        return right(self, model, inputs, trains)

    monkeypatch.setattr(SequenceTask, "result", too_large)
    found = check(GLA)
    assert (found.size, found.unverified) == ({"length": 64}, True), "the end of the whole call could not be compared"
    monkeypatch.setattr(check_subject, "SMALLEST_EXTENT", 100)
    assert check(GLA).unverified


def test_tf32_is_judged_by_its_own_mantissa(monkeypatch: pytest.MonkeyPatch) -> None:
    break_chunks(monkeypatch, 1 + 1e-4, 1.0)
    with pytest.raises(WrongResultError):
        check(GLA)
    case = GLA.model_copy(update={"tf32": True})
    error = check(case).error
    assert error is not None
    assert error > 5e-5


def test_a_wrong_operator_is_never_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    break_chunks(monkeypatch, 1.01, 1.0)
    outcome = measure_case(GLA, 0.1, lambda stage: None)
    assert (outcome.status, outcome.metrics.latency_ms) == ("wrong_result", None)


@pytest.mark.parametrize("phase", [Phase.inference, Phase.training])
def test_a_measured_operator_has_its_memory_where_it_belongs(phase: Phase) -> None:
    case = GLA.model_copy(update={"phase": phase})
    outcome = measure_case(case, 0.1, lambda stage: None)
    assert outcome.status == "ok", outcome.reason
    metrics = outcome.metrics
    number = 4 * 2 * 200 * 2  # bytes for a channel
    inputs = number * (4 * 8 + 16 + (16 if phase is Phase.training else 0))
    assert (metrics.weights_mib, metrics.inputs_mib) == (0, inputs / 2**20)
    assert metrics.peak_memory_mib is not None
    assert metrics.peak_memory_mib > (inputs + number * 16) / 2**20
    assert (metrics.gate_length, metrics.gate_resolution, metrics.params) == (200, None, 0)
    assert outcome.operator == "gla"
    assert outcome.operators["vigbench::gla_torch_chunk"] == 1
