"""The correctness gate, before anything is timed."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from vigbench.measure.correctness import GRADIENT_TOLERANCE, TOLERANCE, gradient_error, is_finite, relative_error
from vigbench.measure.memory import is_out_of_memory
from vigbench.measure.path import Path
from vigbench.measure.settings import full_float32
from vigbench.ops.attention import set_attention
from vigbench.ops.registry import get_operator
from vigbench.suites.case import Case, Precision
from vigbench.worker.build import build_on_device, gradients_of, loss_of, make_inputs
from vigbench.worker.references import References, Result

SMALLEST_GATE_PX = 64  # below it there is nothing left to compare


class WrongResultError(Exception):
    """The subject's output is not what its reference implementation computes, or not by the code that it names.

    Attributes:
        path: what ran, where that is what is wrong.
    """

    def __init__(self, reason: str, path: Path | None = None) -> None:
        super().__init__(reason)
        self.path = path


@dataclass(frozen=True)
class Gate:
    """What the gate found; `unverified` where the reference itself did not fit in memory."""

    error: float | None = None
    gradient_error: float | None = None
    resolution: int | None = None
    length: int | None = None
    unverified: bool = False


def check(
    model: nn.Module, case: Case, operator: str | None, inputs: Tensor, references: References | None = None
) -> Gate:
    """Compare one image's output, and in training the gradients, with the reference in float32 on the same weights.

    The comparison is made at the case's resolution, or at the largest one below it at which the reference fits.

    Args:
        model: the case's model on its device; left as it was.
        operator: the operator whose implementations differ; None: only finiteness is checked.
        inputs: (batch, 3, height, width); the output for the first image has to be finite.
        references: what earlier cases' references computed; None: nothing is kept.

    Raises:
        WrongResultError: if a value is not finite, or farther from the reference than the precision allows.
    """
    references = references or References()
    training = model.training
    model.eval()  # dropout and stochastic depth are random in training mode; the operators are the same
    try:
        require_finite(*_run(model, inputs[:1], case))
        if operator is None:
            return Gate()
        side = min(case.extent, _largest_px(operator, case))
        while side >= min(SMALLEST_GATE_PX, case.extent):
            if gate := if_it_fits(partial(_compare, model, case, operator, side, references)):
                return gate
            side //= 2
        return Gate(unverified=True)
    finally:
        model.zero_grad(set_to_none=True)
        model.train(training)


def tolerance_class(case: Case) -> str:
    """The precision by whose tolerance a case is judged: TF32 has the mantissa of float16."""
    return "float16" if case.tf32 and case.precision == Precision.float32 else case.precision.value


def _largest_px(operator: str, case: Case) -> int:
    largest = get_operator(operator).largest_px
    return case.extent if largest is None else largest.of(case.phase.trains)


def _at_resolution(model: nn.Module, case: Case, operator: str, side: int) -> tuple[nn.Module, Tensor]:
    """The model and an image of `side` px, the same in cases of every batch size and of larger resolutions.

    A model that is built for one size is built anew, with the same weights.
    """
    alone = case.model_copy(update={"resolution": side, "batch_size": 1})
    if operator == "attention" and side != case.extent:  # vigbench's own models take any size
        model = build_on_device(alone).eval()
    return model, make_inputs(alone)


def if_it_fits(compare: Callable[[], Gate]) -> Gate | None:
    """What a comparison found; None where there is no memory for it."""
    try:
        return compare()
    except (RuntimeError, MemoryError) as failure:
        if not is_out_of_memory(failure):
            raise
    return None


def _compare(model: nn.Module, case: Case, operator: str, side: int, references: References) -> Gate:
    model, image = _at_resolution(model, case, operator, side)
    if tolerance_class(case) == "float32" and case.implementation == get_operator(operator).reference:
        return Gate(0.0, 0.0 if case.phase.trains else None, side)  # it is the reference
    output, gradients = _run(model, image, case)
    model.zero_grad(set_to_none=True)

    def compute() -> Result:
        with full_float32():
            return _run(_reference(model, operator), image.float(), case)

    def judge(expected: Result) -> Gate:
        error = relative_error(output, expected[0])
        require_close(error, TOLERANCE[tolerance_class(case)], "The output", case, f"{side} px")
        if not case.phase.trains:
            return Gate(error, None, side)
        worst, name = gradient_error(gradients, expected[1])
        require_close(worst, GRADIENT_TOLERANCE[tolerance_class(case)], f"The gradient of {name}", case, f"{side} px")
        return Gate(error, worst, side)

    what = {"subject": case.subject, "gradients": case.phase.trains, "threads": case.threads}
    return references.judged([*model.parameters(), *model.buffers(), image], what, compute, judge)


def _run(model: nn.Module, image: Tensor, case: Case) -> Result:
    """Output and, in training, the gradients of the mean square of the output: by parameter, and `input`."""
    if not case.phase.trains:
        with torch.inference_mode():
            return model(image), {}
    image = image.detach().clone().requires_grad_()
    model.zero_grad(set_to_none=True)
    output: Tensor = model(image)
    loss_of(output).backward()  # type: ignore[no-untyped-call, unused-ignore]
    assert image.grad is not None
    return output.detach(), {**gradients_of(model), "input": image.grad}


def require_finite(output: Tensor, gradients: Mapping[str, Tensor]) -> None:
    """Raise WrongResultError if a value of the output or of a gradient is NaN or infinite."""
    if not is_finite(output):
        raise WrongResultError("The output holds NaN or infinite values; nothing was timed.")
    for name, gradient in gradients.items():
        if not is_finite(gradient):
            raise WrongResultError(f"The gradient of {name} holds NaN or infinite values; nothing was timed.")


def require_close(error: float, allowed: float, what: str, case: Case, where: str) -> None:
    """Raise WrongResultError if the error of `what`, found at the size `where`, is beyond what is allowed."""
    if not error <= allowed:
        raise WrongResultError(
            f"{what} with {case.implementation} differs from the reference by {error:.1e} of its largest value at "
            f"{where}; {allowed:.0e} is allowed in {tolerance_class(case)}. Nothing was timed."
        )


def _reference(model: nn.Module, operator: str) -> nn.Module:
    reference, name = copy.deepcopy(model).float(), get_operator(operator).reference
    if operator == "attention":
        set_attention(reference, name)
    else:
        reference.set_implementation(name)  # type: ignore[operator]
    return reference
