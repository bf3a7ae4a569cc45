"""Inside the worker: does a compiled or captured call compute what the plain model does?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from vigbench.measure.correctness import GRADIENT_TOLERANCE, TOLERANCE, gradient_error, relative_error
from vigbench.runner.gate import WrongResultError, tolerance_class
from vigbench.runner.subject import gradients_of, run_backward
from vigbench.suites.case import Case


@dataclass(frozen=True)
class Plain:
    """What the plain model computes on the whole batch.

    Attributes:
        output: in inference, else None.
        gradients: of the parameters, in training.
        random: whether a second run gave something else (stochastic depth, dropout): then nothing can be compared.
    """

    output: Tensor | None = None
    gradients: dict[str, Tensor] = field(default_factory=dict)
    random: bool = False


def run_plain(model: nn.Module, case: Case, inputs: Tensor) -> Plain:
    """Run the plain model, before another form of it takes the memory; in training leaves no gradients."""
    if not case.phase.trains:
        with torch.inference_mode():
            return Plain(output=model(inputs))
    first, second = (_plain_gradients(model, case, inputs) for _ in range(2))
    error, _ = gradient_error(second, first)
    return Plain(gradients=first, random=not error <= GRADIENT_TOLERANCE[tolerance_class(case)])


def check_call(call: Callable[[], object], plain: Plain, model: nn.Module, case: Case) -> None:
    """Compare what a compiled or captured call computes with the plain model, unless that is random itself.

    Raises:
        WrongResultError: if it differs by more than the precision allows.
    """
    result = call()
    if plain.random:
        return
    tolerance = TOLERANCE if plain.output is not None else GRADIENT_TOLERANCE
    allowed = tolerance[tolerance_class(case)]
    if plain.output is not None:
        assert isinstance(result, Tensor)
        with torch.inference_mode():
            error = relative_error(result, plain.output)
    else:
        error, _ = gradient_error(gradients_of(model), plain.gradients)
    if not error <= allowed:
        what = "compiled" if case.compile else "captured"
        raise WrongResultError(
            f"The {what} model differs from the plain one by {error:.1e}; {allowed:.0e} is allowed in "
            f"{case.precision}. Nothing was timed."
        )


def _plain_gradients(model: nn.Module, case: Case, inputs: Tensor) -> dict[str, Tensor]:
    model.zero_grad(set_to_none=True)
    run_backward(model(inputs), inputs, case)
    found = gradients_of(model)
    model.zero_grad(set_to_none=True)
    return found
