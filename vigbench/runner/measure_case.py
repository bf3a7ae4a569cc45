"""Inside the worker: from a case to its outcome, by protocol 1 (docs/measurement.md)."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import torch

from vigbench.measure.contention import CONTENDED_DROP, CONTENDED_LOAD, load_of_others, workload_rate
from vigbench.measure.cost import count_cost
from vigbench.measure.latency import Timing, measure_timing, timed
from vigbench.measure.memory import is_out_of_memory, measure_memory
from vigbench.measure.sampling import criterion_for, warm_up
from vigbench.measure.settings import apply_settings
from vigbench.models.catalog import UnsupportedError, describe, require_supported
from vigbench.records.schema import Metrics, Status
from vigbench.runner.columns import cost_columns, latency_columns, memory_columns, throughput_columns
from vigbench.runner.gate import WrongResultError, check_output
from vigbench.runner.messages import Outcome
from vigbench.runner.subject import build_on_device, iteration, make_inputs
from vigbench.suites.case import Case, Phase


def measure_case(case: Case, budget_s: float, on_stage: Callable[[str], None]) -> Outcome:
    """Measure one case in this process; every foreseeable failure becomes a status with a reason.

    Args:
        case: what to measure.
        budget_s: seconds for warm-up and sampling.
        on_stage: told what happens now, in a word.
    """
    operator: str | None = None
    try:
        subject = describe(case.subject)
        operator = subject.operator
        require_supported(subject, case.implementation, case.device, case.phase == Phase.training)
        return _measure(case, operator, budget_s, on_stage)
    except UnsupportedError as error:
        return Outcome(status=Status.unsupported, reason=str(error), operator=operator)
    except WrongResultError as error:
        return Outcome(status=Status.wrong_result, reason=str(error), operator=operator)
    except Exception as error:
        if is_out_of_memory(error):
            size = f"batch {case.batch_size}, {case.resolution} px"
            reason = f"{case.device} memory was used up at {size}: {_first_line(error)}"
            return Outcome(status=Status.out_of_memory, reason=reason, operator=operator)
        import traceback

        traceback.print_exc()  # goes to the case's log
        return Outcome(status=Status.error, reason=f"{type(error).__name__}: {_first_line(error)}", operator=operator)


def _measure(case: Case, operator: str | None, budget_s: float, on_stage: Callable[[str], None]) -> Outcome:
    on_stage("build")
    if case.device == "cuda" and not torch.cuda.is_available():
        raise UnsupportedError("No CUDA device is visible to torch; run `vigbench doctor`, or choose --device cpu.")
    apply_settings(threads=case.threads, tf32=case.tf32)
    begin = perf_counter()
    model = build_on_device(case)
    build_s = perf_counter() - begin
    inputs = make_inputs(case)

    on_stage("cost")
    try:
        cost = count_cost(model, (1, *inputs.shape[1:]))
    except ValueError as error:  # the model does not take this shape
        raise UnsupportedError(f"{case.subject} does not take {case.resolution} px: {error}") from error

    on_stage("check")
    gate = check_output(model, case, operator, inputs)
    call, synchronize = iteration(model, case, inputs)
    compile_s = timed(call, synchronize)() if case.compile else None

    on_stage("warm-up")
    criterion = criterion_for(case.device)
    begin = perf_counter()
    warmup_iterations = warm_up(timed(call, synchronize), criterion, budget_s)

    on_stage("memory")
    memory = measure_memory(call, model, inputs)
    if case.device == "cuda":
        call()  # refills the allocator's cache, which the memory pass emptied

    on_stage("timing")
    synchronize()
    other_load = load_of_others()
    rate_before = workload_rate(inputs.device)
    timing = measure_timing(
        call,
        synchronize,
        queued=case.device == "cuda",
        criterion=criterion,
        budget_s=max(0.0, budget_s - (perf_counter() - begin)),
    )
    rate_drop = max(0.0, 1 - workload_rate(inputs.device) / rate_before)

    metrics = Metrics.model_validate(
        {
            **latency_columns(timing),
            **throughput_columns(timing, case.batch_size),
            **memory_columns(memory),
            **cost_columns(cost, operator),
            "warmup_iterations": warmup_iterations,
            "output_error": gate.error,
            "gate_resolution": gate.resolution,
            "build_s": build_s,
            "compile_s": compile_s,
            "other_load": other_load,
            "rate_drop": rate_drop,
        }
    )
    marks = _marks(timing, other_load, rate_drop, gate.unverified)
    return Outcome(status=Status.ok, operator=operator, marks=marks, metrics=metrics, samples=_samples(timing))


def _marks(timing: Timing, other_load: float, rate_drop: float, unverified: bool) -> tuple[str, ...]:
    found = {
        "not_converged": not (timing.latency.converged and timing.throughput.converged),
        "contended": rate_drop > CONTENDED_DROP or other_load > CONTENDED_LOAD,
        "unverified": unverified,
    }
    return tuple(mark for mark, holds in found.items() if holds)


def _samples(timing: Timing) -> dict[str, tuple[float, ...]]:
    samples = {"latency_ms": tuple(1e3 * one for one in timing.latency.durations_s)}
    if timing.throughput is not timing.latency:
        samples["queued_call_ms"] = tuple(1e3 * one for one in timing.throughput.durations_s)
    return samples


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
