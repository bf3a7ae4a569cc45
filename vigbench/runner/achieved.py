"""What an operator's definition asks for over the time that it took, and the share of the device's ceilings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vigbench.measure.memory import MIB
from vigbench.records.kernel_time import KernelTimeSource
from vigbench.records.metrics import Metrics
from vigbench.suites.case import Case

FROM_A_COLD_CACHE = (KernelTimeSource.events, KernelTimeSource.profile)


def achieved_columns(
    case: Case, metrics: Metrics, ceilings: Mapping[str, Any], moved: tuple[int, int] | None
) -> dict[str, float | int | None]:
    """The columns that follow from a record's others, where the task says what moves; without a time no rates.

    Args:
        case: what was measured.
        metrics: its numbers; the time is latency_ms on a CPU, on CUDA kernel_ms if it is that of kernels from a cold
            cache.
        ceilings: see `machine.measure_ceilings`.
        moved: bytes of inputs and outputs that a call has to move; None where the task does not say.
    """
    if moved is None:
        return {}
    rates = _rates(case, metrics, ceilings, _of_iteration(case, *moved))
    extra = _extra_memory_share(case, metrics, moved[1])
    return rates if extra is None else {**rates, "extra_memory_share": extra}


def _rates(case: Case, metrics: Metrics, ceilings: Mapping[str, Any], moved: int) -> dict[str, float | None]:
    time_ms = metrics.latency_ms
    if case.device == "cuda":
        time_ms = metrics.kernel_ms if metrics.kernel_time_source in FROM_A_COLD_CACHE else None
    if time_ms is None or metrics.gmacs is None:
        return {}
    gb_per_s = moved / 1e6 / time_ms
    tflop_per_s = 2 * case.passes * metrics.gmacs * case.batch_size / time_ms
    ceiling = ceilings.get(case.arithmetic)
    return {
        "achieved_gb_per_s": gb_per_s,
        "achieved_tflop_per_s": tflop_per_s,
        "bandwidth_share": gb_per_s / ceiling["copy_gb_per_s"] if ceiling else None,
        "compute_share": tflop_per_s / ceiling["product_tflop_per_s"] if ceiling else None,
    }


def _of_iteration(case: Case, inputs: int, output: int) -> int:
    """Bytes that one iteration has to move: inputs and output once; training: and in the backward pass once more the
    inputs, the output's gradient and the inputs' gradients."""
    return 3 * inputs + 2 * output if case.phase.trains else inputs + output


def _extra_memory_share(case: Case, metrics: Metrics, output: int) -> float | None:
    if metrics.peak_memory_mib is None or metrics.inputs_mib is None:
        return None
    # in training the inputs hold the output's gradient, and the results are as large: the output, the other gradients
    results_mib = metrics.inputs_mib if case.phase.trains else output / MIB
    needed_mib = metrics.inputs_mib + results_mib
    return (metrics.peak_memory_mib - needed_mib) / needed_mib
