"""The correctness gate of an operator on its own, before anything is timed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from vigbench.measure.correctness import relative_error
from vigbench.measure.settings import full_float32
from vigbench.suites.case import Case
from vigbench.worker.build import gradients_of, run_backward
from vigbench.worker.check_model import (
    Gate,
    WrongResultError,
    if_it_fits,
    require_close,
    require_finite,
    tolerance_class,
)
from vigbench.worker.operator import Operator
from vigbench.worker.references import References, Result

SHORTEST = 64  # below it there is nothing left to compare
WINDOW, MARGIN = 2048, 1024  # tokens; over the margin, decays of -0.05 a token leave e**-50 of a state


def check_operator(
    operator: Operator, case: Case, output_gradient: Tensor, references: References | None = None
) -> Gate:
    """Compare output and, in training, the gradients of q, k, v and log-decays with the reference's.

    Twice: one sequence on its own, at the case's length or at the largest one at which the reference fits and takes
    seconds; and, of GLA, the end of the last sequence in the result of the whole call, which also has to be finite.

    Args:
        operator: the case's, on its device; left without gradients.
        case: says precision and phase.
        output_gradient: where the backward pass starts; of no token in inference.
        references: what earlier cases' references computed; None: nothing is kept.

    Raises:
        WrongResultError: if a value is not finite, or farther from the reference than the precision allows.
    """
    references = references or References()
    whole = _run(operator, output_gradient, case)
    require_finite(*whole)
    if _is_reference(operator, case):
        return Gate(0.0, 0.0 if case.phase.trains else None, length=case.length)
    if operator.subject.directions > 0:
        end = if_it_fits(partial(_compare_end, operator, output_gradient, whole, case, references))
    else:
        end = Gate()  # every token of attention depends on every other
    del whole
    limit = operator.declared.longest
    assert limit is not None, "an operator that is a subject says how long a sequence its reference takes"
    length = min(case.extent, limit.of(case.phase.trains))
    while length >= min(SHORTEST, case.extent):
        if alone := if_it_fits(partial(_compare_alone, operator, output_gradient, case, length, references)):
            return replace(alone, unverified=end is None)
        length //= 2
    return Gate(unverified=True)


def _is_reference(operator: Operator, case: Case) -> bool:
    return tolerance_class(case) == "float32" and case.implementation == operator.declared.reference


def _compare_alone(
    operator: Operator, output_gradient: Tensor, case: Case, length: int, references: References
) -> Gate:
    alone, gradient = operator.cut(0, 0, length), output_gradient[:1, :length]
    found = _run(alone, gradient, case)

    def judge(expected: Result) -> Gate:
        error, gradient_error = _require_equal(operator, found, expected, case, f"{length} tokens")
        return Gate(error, gradient_error, length=length)

    return _judged(alone, gradient, case, references, judge)


def _compare_end(
    operator: Operator, output_gradient: Tensor, whole: Result, case: Case, references: References
) -> Gate:
    """The last tokens of the last sequence, of which what lies before the window has no part left."""
    first = max(0, case.extent - WINDOW)
    settled = MARGIN if first > 0 else 0
    window = operator.cut(case.batch_size - 1, first, case.extent)
    where = f"the end of the last sequence, {case.extent_text}"

    def judge(expected: Result) -> Gate:
        found = _last_from(whole, first + settled)
        return Gate(*_require_equal(operator, found, _last_from(expected, settled), case, where))

    return _judged(window, output_gradient[-1:, first:], case, references, judge)


def _judged(
    operator: Operator, output_gradient: Tensor, case: Case, references: References, judge: Callable[[Result], Gate]
) -> Gate:
    """What `judge` says of the reference's result on the tensors of this operator."""

    def compute() -> Result:
        return _run_reference(operator, output_gradient, case)

    what = {"subject": case.subject, "gradients": case.phase.trains, "threads": case.threads, "scale": operator.scale}
    return references.judged([*operator.parameters(), output_gradient], what, compute, judge)


def _last_from(result: Result, token: int) -> Result:
    """Of the last sequence what begins at a token."""
    output, gradients = result
    return output[-1:, token:], {name: one[-1:, token:] for name, one in gradients.items()}


def _require_equal(
    operator: Operator, found: Result, expected: Result, case: Case, where: str
) -> tuple[float, float | None]:
    """The errors of the output and of the worst gradient; WrongResultError if one is too large."""
    allowed = operator.declared.tolerance[tolerance_class(case)]
    error, worst = relative_error(found[0], expected[0]), None
    require_close(error, allowed, "The output", case, where)
    for name, wanted in expected[1].items():
        if name not in found[1]:
            raise WrongResultError(f"There is no gradient of {name}; nothing was timed.")
        one = relative_error(found[1][name], wanted)
        require_close(one, allowed, f"The gradient of {name}", case, where)
        worst = max(one, worst or 0.0)
    return error, worst


def _run_reference(operator: Operator, output_gradient: Tensor, case: Case) -> Result:
    with full_float32():
        reference = operator.reference()
        return _run(reference, output_gradient.to(reference.v.dtype), case)


def _run(operator: Operator, output_gradient: Tensor, case: Case) -> Result:
    if not case.phase.trains:
        with torch.inference_mode():
            return operator(output_gradient), {}
    output: Tensor = operator(output_gradient)
    run_backward(output, output_gradient, case)
    gradients = gradients_of(operator)
    operator.zero_grad(set_to_none=True)
    return output.detach(), gradients
