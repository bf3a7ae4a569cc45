"""Everything before a case may be timed (build, check, cost, warm-up), and the proof of its path."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import torch
from torch import nn

from vigbench.measure.compilation import Compilation, already_compiled, missing_compiler, watch_compilation
from vigbench.measure.cost import Cost, count_cost, not_counted
from vigbench.measure.cuda_graph import capture
from vigbench.measure.latency import timed
from vigbench.measure.path import ExecutedPath, record_path
from vigbench.measure.sampling import Criterion, criterion_for, warm_up
from vigbench.ops.registry import UnsupportedError, get_operator
from vigbench.subjects.catalog import describe, require_supported, task_of
from vigbench.subjects.factory import in_one_line
from vigbench.subjects.task import DTYPES, Inputs, Task
from vigbench.suites.case import Case
from vigbench.worker.build import apply_case_settings, build_on_device, iteration, make_inputs
from vigbench.worker.check_call import check_call, check_replay, check_step, run_plain
from vigbench.worker.check_subject import CheckResult, WrongResultError, check
from vigbench.worker.first_call import training_explained, unchanged
from vigbench.worker.kept_cost import kept_cost
from vigbench.worker.references import References, wait_for
from vigbench.worker.training_step import TrainingStep, require_steppable
from vigbench.worker.values import require_values


@dataclass(frozen=True)
class Prepared:
    """A case that is right and warm.

    Attributes:
        call: one iteration.
        synchronize: returns when the device has finished.
        warmup_iterations: calls made before this.
    """

    case: Case
    task: Task
    operator: str | None
    model: nn.Module
    inputs: Inputs
    call: Callable[[], Any]
    synchronize: Callable[[], None]
    criterion: Criterion
    cost: Cost
    checked: CheckResult
    reference_s: float | None
    compile_s: float | None
    compilation: Compilation | None
    warmup_iterations: int
    warmup_s: float
    first_loss: float | None = None  # of a training step
    kernel_s: Sequence[float] = ()  # that Triton took for each kernel until now

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return torch.device(self.case.device.value)

    @property
    def step(self) -> TrainingStep | None:
        """The call as a training step that can be taken apart; None if the case is none."""
        return self.call if isinstance(self.call, TrainingStep) else None


def operator_of(case: Case) -> str | None:
    """The operator whose implementation the case names; UnsupportedError if that cannot run on its device."""
    subject = describe(case.subject, case.args)
    require_supported(subject, case.implementation, case.device, case.phase.trains, DTYPES[case.precision])
    require_steppable(case)
    if case.device == "cuda" and not torch.cuda.is_available():
        raise UnsupportedError("No CUDA device is visible to torch; run `vigbench doctor`, or choose --device cpu.")
    if case.device == "cpu" and case.compile and (lack := missing_compiler()):
        raise UnsupportedError(f"{lack}. Or measure with --compile false.")
    return subject.operator


def require_one_rank(case: Case) -> None:
    """Raise UnsupportedError for a case of several ranks, which only a run measures."""
    if case.ranks > 1:
        raise UnsupportedError("Several ranks are measured by `vigbench run` alone; leave --ranks out here.")


def prepare(
    case: Case, budget_s: float, on_stage: Callable[[str], None], references: References | None = None
) -> Prepared:
    """All that protocol 1 asks for before memory and timing.

    Args:
        case: what to prepare.
        budget_s: seconds of sampling, of which warm-up takes a share.
        on_stage: told what happens now.
        references: what earlier cases' references computed; None: nothing is kept.

    Raises:
        UnsupportedError: if the subject cannot run with these settings, or here.
        WrongResultError: if its result is wrong.
    """
    references = references or References()
    if case.device == "cuda" and torch.cuda.is_available():
        on_stage("device")
        torch.cuda.synchronize()  # opens the driver and makes a context, which the first tensor there would do
    on_stage("build")
    require_one_rank(case)
    operator = operator_of(case)
    apply_case_settings(case)
    task = task_of(case.subject)
    task.require(case)
    model = build_on_device(case)
    inputs = make_inputs(case, task)
    wait_for(torch.device(case.device.value))

    on_stage("check")
    checked = check(model, case, task, operator, inputs, references)

    on_stage("cost")  # after a real call: whatever the model keeps outside of itself, it has made by now
    cost = kept_cost(references.folder, case, lambda: count_item(model, case, task, operator, inputs))
    require_values(model, case)

    on_stage("warm-up")
    with unchanged(case, inputs), training_explained(case):
        call, synchronize = iteration(model, case, task, inputs)
        compile_s, compilation = None, None
        if case.compile:
            plain = run_plain(model, case, task, inputs)
            checked = replace(checked, unverified=checked.unverified or plain.random)
            compile_s, compilation = watch_compilation(timed(call, synchronize))
            require_compiled(compilation, case, model)
            check_call(call, plain, model, case, task, inputs)
            del plain
        first_loss = check_step(call) if isinstance(call, TrainingStep) else None
        begin = perf_counter()
        criterion = criterion_for(case.device, case.windows or case.passes)
        warmup_iterations = warm_up(timed(call, synchronize), criterion, budget_s)
        warmup_s = perf_counter() - begin

    return Prepared(
        case=case,
        task=task,
        operator=operator,
        model=model,
        inputs=inputs,
        call=call,
        synchronize=synchronize,
        criterion=criterion,
        cost=cost,
        checked=checked,
        reference_s=references.seconds,
        compile_s=compile_s,
        compilation=compilation,
        warmup_iterations=warmup_iterations,
        warmup_s=warmup_s,
        first_loss=first_loss,
    )


def count_item(model: nn.Module, case: Case, task: Task, operator: str | None, inputs: Inputs) -> Cost:
    """What one item of a batch costs: by the task's definition where there is one, else as counted; a scan in windows.

    A model that runs and cannot be counted is measured without a count.
    """
    try:
        cost = count_cost(model, *task.arguments(task.item(inputs)))
    except Exception as error:  # of the user's own code too
        return not_counted(model, in_one_line(error))
    if case.windows is not None:
        cost = cost.times(case.windows)
    executed = task.executed_macs(case, cost.executed_macs)
    if masked := task.masked_macs(case):
        by_operator = {**cost.by_operator, f"{operator}.masked": -masked}
        return replace(cost, macs=cost.macs - masked, executed_macs=executed, by_operator=by_operator)
    if (macs := task.macs(case)) is None or operator is None:
        return cost
    return replace(cost, macs=macs, executed_macs=executed, by_operator={operator: macs})


def require_compiled(compilation: Compilation, case: Case, model: nn.Module) -> None:
    """Raise UnsupportedError if torch.compile left the whole model to Python: `compile` would be a wrong label."""
    if not compilation.graphs:
        excluded = "its forward pass is excluded from compilation. Measure it with compile: false."
        raise UnsupportedError(
            f"torch.compile compiles nothing of {case.subject}: {already_compiled(model) or excluded}"
        )


def call_to_time(prepared: Prepared) -> tuple[Callable[[], Any], bool]:
    """The case's call, as a CUDA graph where the case asks for one; whatever looks inside a call has to come before.

    Returns:
        The call, and whether what it computes is verified: a random iteration cannot be compared with its replay.

    Raises:
        NotCapturableError: if it cannot be captured.
        WrongResultError: if a replay does not compute what the call does.
    """
    if not prepared.case.cuda_graph:
        return prepared.call, True
    # before the capture: a graph keeps the memory of a whole iteration, and both together need not fit
    what = (prepared.model, prepared.case, prepared.task, prepared.inputs)
    plain = run_plain(*what)
    replay = capture(prepared.call, prepared.device)
    check_call(replay, plain, *what)
    if prepared.step is not None:
        check_replay(prepared.step, replay)
    for _ in range(prepared.criterion.min_warmup):
        replay()
    return replay, not plain.random


def prove_path(prepared: Prepared) -> ExecutedPath:
    """The operators and kernels of one call; to be called after timing, which a CUDA profiler's hooks would slow down.

    Raises:
        WrongResultError: if they are not those of the implementation named.
    """
    path = record_path(prepared.call, prepared.device)
    require_promised(path, prepared.case, prepared.operator)
    return path


def require_promised(path: ExecutedPath, case: Case, operator: str | None) -> None:
    """Raise WrongResultError if what ran is not the implementation that the case names."""
    if operator is None:
        return
    if broken := path.broken_promise(*get_operator(operator).promise(case.implementation, case.device)):
        raise WrongResultError(
            f"The label says {operator}/{case.implementation}, but {broken}. Its timing was discarded; "
            f"operators/{case.case_id}.csv of the run has what ran.",
            path,
        )
