"""A case as one of its ranks measures it, by protocol 1; what rank 0 finds is the result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from torch import nn

from vigbench.measure.cost import Cost
from vigbench.measure.latency import timed
from vigbench.measure.memory import Memory, measure_memory
from vigbench.measure.path import ExecutedPath, record_path
from vigbench.measure.sampling import criterion_for, warm_up
from vigbench.measure.settings import apply_settings, default_threads
from vigbench.ops.communication import record_traffic
from vigbench.ops.registry import UnsupportedError
from vigbench.subjects.catalog import task_of
from vigbench.subjects.task import Inputs, Task
from vigbench.suites.axes import Phase
from vigbench.suites.case import Case
from vigbench.worker.build import build_on_device, iteration, make_inputs
from vigbench.worker.check_subject import CheckResult
from vigbench.worker.first_call import training_explained, unchanged
from vigbench.worker.kept_cost import kept_cost
from vigbench.worker.observe import CallTiming
from vigbench.worker.prepare import count_item, operator_of, require_promised
from vigbench.worker.rank_check import check_ranks
from vigbench.worker.rank_group import Team
from vigbench.worker.rank_timing import measure_together
from vigbench.worker.references import References

PHASES = (Phase.inference, Phase.training)


@dataclass(frozen=True)
class Traffic:
    """What a rank exchanged in one iteration.

    Attributes:
        sent, received: bytes.
        calls: collective and point-to-point calls.
    """

    sent: int
    received: int
    calls: int


@dataclass(frozen=True)
class TeamResult:
    """What the ranks of a case found, as rank 0 has it.

    Attributes:
        memory: of the rank that needed the most.
        traffic: the most of any rank.
    """

    case: Case
    task: Task
    operator: str | None
    threads: int
    checked: CheckResult
    reference_s: float | None
    cost: Cost
    warmup_iterations: int
    memory: Memory
    traffic: Traffic
    timing: CallTiming
    path: ExecutedPath


def measure_rank(
    case: Case, budget_s: float, on_stage: Callable[[str], None], references: References, team: Team
) -> TeamResult | None:
    """Measure a case together with the other ranks; None on all but rank 0.

    Args:
        case: what to measure.
        budget_s: seconds for warm-up and sampling.
        on_stage: told what happens now.
        references: what earlier cases' references computed.
        team: the ranks, all of which call this.

    Raises:
        UnsupportedError: if the subject cannot be cut over ranks, or not with these settings.
        WrongResultError: if a result is wrong.
    """
    part = _prepared(case, on_stage, references, team)
    module, inputs = part.module, part.inputs

    on_stage("warm-up")
    with unchanged(case, inputs), training_explained(case):
        call, synchronize = iteration(module, case, part.task, inputs)
        criterion, begin = criterion_for(case.device), perf_counter()
        one = timed(call, synchronize)
        warmup_iterations = team.first_decides(lambda each: warm_up(each, criterion, budget_s), one)
        left_s = max(0.0, budget_s - (perf_counter() - begin))

    on_stage("memory")
    memory, traffic = _memory(call, module, inputs, team), _traffic(call, synchronize, team)

    on_stage("timing")
    timing = measure_together(team, call, synchronize, criterion, left_s)

    on_stage("path")
    path = _path(call, team)
    if part.cost is None or timing is None or warmup_iterations is None or path is None:
        return None
    require_promised(path, case, part.operator)
    return TeamResult(
        case=case,
        task=part.task,
        operator=part.operator,
        threads=part.threads,
        checked=part.checked,
        reference_s=references.seconds,
        cost=part.cost,
        warmup_iterations=warmup_iterations,
        memory=memory,
        traffic=traffic,
        timing=timing,
        path=path,
    )


@dataclass(frozen=True)
class _Part:
    """What a rank runs, checked.

    Attributes:
        cost: of a whole item; None on all ranks but the first.
    """

    task: Task
    operator: str | None
    threads: int
    module: nn.Module
    inputs: Inputs
    checked: CheckResult
    cost: Cost | None


def _prepared(case: Case, on_stage: Callable[[str], None], references: References, team: Team) -> _Part:
    """Build the whole, check and count it, and keep this rank's part alone."""
    on_stage("build")
    _require_plain(case)
    operator = operator_of(case)
    threads = max(1, (case.threads or default_threads()) // case.ranks)
    apply_settings(threads=threads, tf32=case.tf32)
    task = task_of(case.subject)
    task.require(case)
    model, whole = build_on_device(case), make_inputs(case, task)
    sharding = task.sharding(model, case)

    on_stage("check")
    checked = check_ranks(model, case, task, operator, whole, team, references)

    on_stage("cost")
    cost = None
    if team.leads:
        cost = kept_cost(references.folder, case, lambda: count_item(model, case, task, operator, whole))
    module, inputs = sharding.module(team.place), sharding.inputs(whole, team.place)
    return _Part(task, operator, threads, module, inputs, checked, cost)


def _require_plain(case: Case) -> None:
    if case.phase not in PHASES:
        raise UnsupportedError(f"Several ranks are measured in inference and training, not in {case.phase}.")
    if case.compile or case.cuda_graph:
        raise UnsupportedError("Several ranks are measured without torch.compile and CUDA graphs: leave both out.")


def _memory(call: Callable[[], Any], module: nn.Module, inputs: Inputs, team: Team) -> Memory:
    """That of the rank which needs the most; every rank makes the same calls."""
    every = team.gathered(measure_memory(call, module, list(inputs.values())))
    return max(every, key=lambda memory: memory.peak)


def _traffic(call: Callable[[], Any], synchronize: Callable[[], None], team: Team) -> Traffic:
    """The most that any rank exchanges in one iteration."""
    with record_traffic() as seen:
        call()
        synchronize()
    every = team.gathered((seen.sent_bytes, seen.received_bytes, seen.calls))
    return Traffic(*(max(numbers) for numbers in zip(*every, strict=True)))


def _path(call: Callable[[], Any], team: Team) -> ExecutedPath | None:
    """What rank 0 runs; the others make the call beside it."""
    if team.leads:
        return record_path(call, team.device)
    call()
    return None
