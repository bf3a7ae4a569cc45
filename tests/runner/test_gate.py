import pytest
import torch
from torch import Tensor, nn

from vigbench.runner.gate import WrongResultError, check_output
from vigbench.runner.measure_case import measure_case
from vigbench.runner.subject import build_on_device, make_inputs
from vigbench.suites.case import Case

VIG = Case(subject="vig_tiny_patch16_224", implementation="torch_chunk", resolution=64, threads=1)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("subject", "implementation", "operator"),
    [("vig_tiny_patch16_224", "torch_chunk", "gla"), ("deit_tiny_patch16_224", "sdpa", "attention")],
)
def test_a_right_implementation_passes_and_its_error_is_told(
    subject: str, implementation: str, operator: str, precision: str
) -> None:
    case = Case(subject=subject, implementation=implementation, resolution=64, precision=precision, threads=1)
    gate = check_output(build_on_device(case), case, operator, make_inputs(case))
    assert gate.resolution == 64
    assert gate.error is not None
    assert gate.error < {"float32": 1e-5, "bfloat16": 1e-1}[precision]


def test_a_wrong_implementation_is_caught_and_the_mode_is_restored() -> None:
    model = _Broken(build_on_device(VIG)).train()
    with pytest.raises(WrongResultError, match=r"torch_chunk differs from the reference by 1\.0e-01"):
        check_output(model, VIG, "gla", make_inputs(VIG))
    assert model.training


def test_a_reference_that_does_not_fit_leaves_the_case_unverified() -> None:
    gate = check_output(_TooLarge(build_on_device(VIG)), VIG, "gla", make_inputs(VIG))
    assert gate.unverified
    assert gate.error is None


class _TooLarge(nn.Module):
    """Runs, but its reference needs more memory than there is."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.elements = model, 1

    def set_implementation(self, name: str) -> None:
        self.elements = 2**50

    def forward(self, x: Tensor) -> Tensor:
        torch.empty(self.elements)
        out: Tensor = self.model(x)
        return out


class _Broken(nn.Module):
    """Right as the reference, off by a tenth otherwise."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.offset = model, 0.1

    def set_implementation(self, name: str) -> None:
        self.model.set_implementation(name)  # type: ignore[operator]
        self.offset = 0.0

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.model(x)
        return out * (1 + self.offset)


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
