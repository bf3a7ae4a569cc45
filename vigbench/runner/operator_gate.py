"""Inside the worker: the correctness gate of an operator on its own, before anything is timed."""

from __future__ import annotations

import torch
from torch import Tensor

from vigbench.measure.correctness import OPERATOR_TOLERANCE, relative_error
from vigbench.measure.memory import is_out_of_memory
from vigbench.measure.settings import full_float32
from vigbench.runner.gate import Gate, WrongResultError, require_close, require_finite, tolerance_class
from vigbench.runner.operator import REFERENCES, Operator
from vigbench.runner.subject import run_backward
from vigbench.suites.case import Case, Phase

# The largest whose reference takes seconds: GLA's 0.2 ms a token on a GPU, five times that with gradients; attention's
# holds all scores in memory.
LONGEST = {
    "gla": {Phase.inference: 16384, Phase.training: 4096},
    "attention": {Phase.inference: 4096, Phase.training: 4096},
}
SHORTEST = 64  # below it there is nothing left to compare


def check_operator(operator: Operator, case: Case, output_gradient: Tensor) -> Gate:
    """Compare one sequence's output, and in training the gradients of q, k, v and log-decays, with the reference's.

    The comparison is made at the case's length, or at the largest one at which the reference fits and takes seconds.
    Beyond it the whole call is only checked for finiteness.

    Args:
        operator: the case's, on its device; left without gradients.
        case: says precision and phase.
        output_gradient: where the backward pass starts; of no token in inference.

    Raises:
        WrongResultError: if a value is not finite, or farther from the reference than the precision allows.
    """
    require_finite(*_run(operator, output_gradient, case))
    length = min(case.extent, LONGEST[operator.subject.operator][case.phase])
    while length >= min(SHORTEST, case.extent):
        try:
            return _compare(operator.cut(length), output_gradient[:1, :length], case, length)
        except (RuntimeError, MemoryError) as failure:
            if not is_out_of_memory(failure):
                raise
        length //= 2
    return Gate(unverified=True)


def _compare(operator: Operator, output_gradient: Tensor, case: Case, length: int) -> Gate:
    training = case.phase == Phase.training
    if tolerance_class(case) == "float32" and case.implementation == REFERENCES[operator.subject.operator][0]:
        return Gate(0.0, 0.0 if training else None, length=length)  # it is the reference
    allowed = OPERATOR_TOLERANCE[operator.subject.operator][tolerance_class(case)]
    output, gradients = _run(operator, output_gradient, case)
    with full_float32():
        reference = operator.reference()
        expected, expected_gradients = _run(reference, output_gradient.to(reference.v.dtype), case)
    error = relative_error(output, expected)
    require_close(error, allowed, "The output", case, f"{length} tokens")
    worst = None
    for name, wanted in expected_gradients.items():
        if name not in gradients:
            raise WrongResultError(f"There is no gradient of {name}; nothing was timed.")
        found = relative_error(gradients[name], wanted)
        require_close(found, allowed, f"The gradient of {name}", case, f"{length} tokens")
        worst = max(found, worst or 0.0)
    return Gate(error, worst, length=length)


def _run(operator: Operator, output_gradient: Tensor, case: Case) -> tuple[Tensor, dict[str, Tensor]]:
    """Output and, in training, the gradients by name."""
    if case.phase != Phase.training:
        with torch.inference_mode():
            return operator(output_gradient), {}
    output: Tensor = operator(output_gradient)
    run_backward(output, output_gradient, case)
    gradients = {name: one.grad for name, one in operator.named_parameters() if one.grad is not None}
    operator.zero_grad(set_to_none=True)
    return output.detach(), gradients
