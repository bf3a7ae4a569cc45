from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vigbench.subjects.catalog import IMAGES
from vigbench.suites.axes import Precision
from vigbench.suites.case import Case
from vigbench.worker.build import build_on_device
from vigbench.worker.check_subject import CheckResult, WrongResultError
from vigbench.worker.check_subject import check as check_subject
from vigbench.worker.measure_case import measure_case

VIG = Case(subject="vig_tiny_patch16_224", implementation="torch_chunk", resolution=64, threads=1)


def check(model: nn.Module, case: Case, operator: str) -> CheckResult:
    return check_subject(model, case, IMAGES, operator, IMAGES.make_inputs(case))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("subject", "implementation", "operator"),
    [("vig_tiny_patch16_224", "torch_chunk", "gla"), ("deit_tiny_patch16_224", "sdpa", "attention")],
)
def test_a_right_implementation_passes_and_its_error_is_told(
    subject: str, implementation: str, operator: str, precision: str
) -> None:
    case = Case(subject=subject, implementation=implementation, resolution=64, precision=precision, threads=1)
    gate = check(build_on_device(case), case, operator)
    assert gate.size == {"resolution": 64}
    assert gate.error is not None
    assert gate.error < {"float32": 1e-5, "bfloat16": 1e-1}[precision]


def test_a_wrong_implementation_is_caught_and_the_mode_is_restored() -> None:
    model = _Broken(build_on_device(VIG)).train()
    with pytest.raises(WrongResultError, match=r"torch_chunk differs from the reference by 1\.0e-01"):
        check(model, VIG, "gla")
    assert model.training


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("subject", "implementation", "operator"),
    [("vig_tiny_patch16_224", "torch_chunk", "gla"), ("deit_tiny_patch16_224", "sdpa", "attention")],
)
def test_training_checks_the_gradients_too(subject: str, implementation: str, operator: str, precision: str) -> None:
    case = Case(
        subject=subject, implementation=implementation, resolution=64, precision=precision, phase="training", threads=1
    )
    gate = check(build_on_device(case), case, operator)
    assert gate.gradient_error is not None
    assert 0 < gate.gradient_error < {"float32": 1e-4, "bfloat16": 3e-1}[precision]


class _WrongBackward(torch.autograd.Function):
    """The identity, whose gradient is a hundredth too large."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad * 1.01


def test_a_wrong_gradient_is_caught_where_the_output_is_right() -> None:
    case = Case.model_validate({**VIG.model_dump(), "phase": "training"})
    model = _Broken(build_on_device(case), lambda x: _WrongBackward.apply(x))
    with pytest.raises(WrongResultError, match=r"The gradient of .* differs from the reference by 1\.0e-02"):
        check(model, case, "gla")
    assert check(model, VIG, "gla").error is not None, "inference has no gradient to be wrong"


def test_tf32_is_judged_by_its_own_mantissa_and_against_a_reference_without_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = VIG.model_copy(update={"tf32": True})
    assert case.mantissa == "float16"
    assert case.model_copy(update={"precision": Precision.bfloat16}).mantissa == "bfloat16"
    torch.set_float32_matmul_precision("high")
    seen: list[str] = []

    def watched(x: Tensor) -> Tensor:
        seen.append(torch.get_float32_matmul_precision())
        return x

    try:
        model = _Watched(build_on_device(VIG), watched)
        check(model, case, "gla")
        assert seen == ["high", "high", "highest"], "finite?, subject, reference"
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_the_gate_goes_down_to_a_resolution_at_which_the_reference_fits() -> None:
    case = VIG.model_copy(update={"resolution": 256})
    gate = check(_TooLarge(build_on_device(case), largest=128), case, "gla")
    assert gate.size == {"resolution": 128}
    assert not gate.unverified


def test_a_reference_that_does_not_fit_leaves_the_case_unverified() -> None:
    gate = check(_TooLarge(build_on_device(VIG)), VIG, "gla")
    assert gate.unverified
    assert gate.error is None


class _TooLarge(nn.Module):
    """Runs, but its reference needs more memory than there is."""

    def __init__(self, model: nn.Module, largest: int = 0) -> None:
        super().__init__()
        self.model, self.largest, self.is_reference = model, largest, False

    def set_implementation(self, name: str) -> None:
        self.is_reference = True

    def forward(self, x: Tensor) -> Tensor:
        torch.empty(2**50 if self.is_reference and x.shape[-1] > self.largest else 1)
        out: Tensor = self.model(x)
        return out


class _Broken(nn.Module):
    """Right as the reference, with a fault otherwise: by default the output is off by a tenth."""

    def __init__(self, model: nn.Module, fault: Callable[[Tensor], Tensor] = lambda x: 1.1 * x) -> None:
        super().__init__()
        self.model, self.fault = model, fault

    def set_implementation(self, name: str) -> None:
        self.model.set_implementation(name)  # type: ignore[operator]
        self.fault = lambda x: x

    def forward(self, x: Tensor) -> Tensor:
        return self.fault(self.model(x))


class _Watched(_Broken):
    """Its reference is watched too."""

    def set_implementation(self, name: str) -> None:
        self.model.set_implementation(name)  # type: ignore[operator]


@pytest.mark.slow
def test_training_and_compiled_cases_are_measured_too() -> None:
    case = Case.model_validate({**VIG.model_dump(), "phase": "training"})
    outcome = measure_case(case, 0.2, lambda stage: None)
    assert outcome.status == "ok", outcome.reason
    inference = measure_case(VIG, 0.2, lambda stage: None)
    assert outcome.metrics.activation_memory_mib > 2 * inference.metrics.activation_memory_mib  # type: ignore[operator]


@pytest.mark.slow
def test_a_compiled_case_records_its_compile_time() -> None:
    case = Case(subject="resnet18", resolution=64, compile=True, threads=1)
    outcome = measure_case(case, 0.2, lambda stage: None)
    assert outcome.status == "ok", outcome.reason
    assert outcome.metrics.compile_s is not None
    assert outcome.metrics.compile_s * 1e3 > 10 * outcome.metrics.latency_ms  # type: ignore[operator]
