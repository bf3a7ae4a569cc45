"""The correctness check, before anything is timed: a case's results beside those of its reference implementation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from torch import Tensor, nn

from vigbench.measure.correctness import gradient_error, is_finite, relative_error
from vigbench.measure.memory import is_out_of_memory
from vigbench.measure.path import ExecutedPath
from vigbench.measure.settings import full_float32
from vigbench.subjects.task import Inputs, Measure, Probe, Result, Task
from vigbench.suites.case import Case
from vigbench.worker.build import build_on_device
from vigbench.worker.first_call import first_result
from vigbench.worker.references import References

T = TypeVar("T")
SMALLEST_EXTENT = 64  # below it there is nothing left to compare
# settings on which a reference's result depends
MATTERS = ("subject", "args", "heads", "key_dim", "value_dim", "threads")


class WrongResultError(Exception):
    """The subject's output is not what its reference implementation computes, or not by the code that it names.

    Attributes:
        path: what ran, where that is what is wrong.
    """

    def __init__(self, reason: str, path: ExecutedPath | None = None) -> None:
        super().__init__(reason)
        self.path = path


@dataclass(frozen=True)
class CheckResult:
    """What the check found; `unverified` where the reference itself did not fit in memory."""

    error: float | None = None
    gradient_error: float | None = None
    size: Mapping[str, Any] = field(default_factory=dict)
    unverified: bool = False


def check(
    model: nn.Module,
    case: Case,
    task: Task,
    operator: str | None,
    inputs: Inputs,
    references: References | None = None,
) -> CheckResult:
    """Compare outputs, and in training gradients, with the reference on the same weights and inputs.

    One item on its own, at the case's size or at the largest one at which the reference fits and takes seconds; and
    those parts of the whole call that the task names.

    Args:
        model: the case's model on its device; left as it was.
        task: what it takes and gives.
        operator: the operator whose implementations differ; None: only finiteness is checked.
        inputs: of the whole batch.
        references: what earlier cases' references computed; None: nothing is kept.

    Raises:
        UnsupportedError: if the model does not take these inputs, or changes them.
        WrongResultError: if a value is not finite, or farther from the reference than the precision allows.
    """
    training = model.training
    model.eval()  # dropout and stochastic depth are random in training mode; the operators are the same
    try:
        return _check(model, case, task, operator, inputs, references or References())
    finally:
        model.zero_grad(set_to_none=True)
        model.train(training)


def _check(
    model: nn.Module, case: Case, task: Task, operator: str | None, inputs: Inputs, references: References
) -> CheckResult:
    whole = first_result(model, case, task, task.checked(inputs))
    require_finite(whole)
    if operator is None:
        return CheckResult()
    if task.is_reference(model, case, operator):
        size = {name: getattr(case, name) for name in task.axes[:1]}
        return CheckResult(0.0, 0.0 if case.phase.trains else None, size)  # it is the reference
    compare = partial(_compare, case, task, operator, references)
    parts = [if_it_fits(partial(compare, probe)) for probe in task.probes_of_whole(model, case, inputs, whole)]
    del whole
    extent = min(case.extent_of_pass, task.largest_checked(case, operator))
    while extent >= min(SMALLEST_EXTENT, case.extent_of_pass):
        if found := if_it_fits(lambda extent=extent: compare(task.probe(model, case, inputs, extent, build_on_device))):  # type: ignore[misc]
            return replace(found, unverified=None in parts)
        extent //= 2
    return CheckResult(unverified=True)


def if_it_fits(compute: Callable[[], T]) -> T | None:
    """What is computed; None where there is no memory for it."""
    try:
        return compute()
    except (RuntimeError, MemoryError) as failure:
        if not is_out_of_memory(failure):
            raise
    return None


def _compare(case: Case, task: Task, operator: str, references: References, probe: Probe) -> CheckResult:
    trains = case.phase.trains
    found = probe.found if probe.found is not None else task.result(probe.model, probe.inputs, trains)

    def compute() -> Result:
        with full_float32():
            twin, dtype = task.reference(probe.model, operator)
            inputs = {name: x.to(dtype) if x.is_floating_point() else x for name, x in probe.inputs.items()}
            return task.result(twin, inputs, trains)

    def judge(expected: Result) -> CheckResult:
        return CheckResult(*compare_results(found, probe.compared(expected), case, task, probe.where), probe.checked_at)

    what = {**case.model_dump(include=set(MATTERS)), "gradients": trains}
    tensors = [*probe.model.parameters(), *probe.model.buffers(), *probe.inputs.values()]
    return references.judged(tensors, what, compute, judge)


def compare_results(
    found: Result, expected: Result, case: Case, task: Task, where: str, other: str = "the reference"
) -> tuple[float, float | None]:
    """The largest errors of outputs and of gradients beside those of `other`; WrongResultError if one is too large."""
    error = 0.0
    for name, output in expected[0].items():
        deviation = relative_error(_named(found[0], name, name), output, task.output_measure)
        require_close(deviation, task.tolerance, f"The {name}", case, where, task.output_measure, other)
        error = max(error, deviation)
    if not case.phase.trains:
        return error, None
    if task.gradient_measure == "norm":
        worst, name = gradient_error(found[1], expected[1])
        require_close(worst, task.gradient_tolerance, f"The gradient of {name}", case, where, "norm", other)
        return error, worst
    worst = 0.0
    for name, gradient in expected[1].items():
        deviation = relative_error(_named(found[1], name, f"gradient of {name}"), gradient)
        require_close(deviation, task.gradient_tolerance, f"The gradient of {name}", case, where, other=other)
        worst = max(worst, deviation)
    return error, worst


def _named(tensors: Mapping[str, Tensor], name: str, what: str) -> Tensor:
    if name not in tensors:
        raise WrongResultError(f"There is no {what}; nothing was timed.")
    return tensors[name]


def require_finite(result: Result) -> None:
    """Raise WrongResultError if a value of an output or of a gradient is NaN or infinite."""
    outputs, gradients = result
    for name, tensor in [*outputs.items(), *((f"gradient of {name}", x) for name, x in gradients.items())]:
        if not is_finite(tensor):
            raise WrongResultError(f"The {name} holds NaN or infinite values; nothing was timed.")


def require_close(
    error: float,
    allowed: Mapping[str, float],
    what: str,
    case: Case,
    where: str,
    measure: Measure = "largest",
    other: str = "the reference",
) -> None:
    """Raise WrongResultError if the error of `what`, found at the size `where`, is beyond what is allowed."""
    most = allowed[case.mantissa]
    if not error <= most:
        size = "norm" if measure == "norm" else "largest value"
        raise WrongResultError(
            f"{what} with {case.implementation} differs from {other} by {error:.1e} of its {size} at {where}; "
            f"{most:.0e} is allowed in {case.mantissa}. Nothing was timed."
        )
