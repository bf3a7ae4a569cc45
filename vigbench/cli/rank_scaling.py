"""`vigbench scaling --ranks`: what a time of one device becomes on several, on paper."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from vigbench.cli import options

if TYPE_CHECKING:
    import pandas as pd

    from vigbench.analysis.rank_scaling import Alone

T = TypeVar("T")
METRICS = ("latency_ms", "kernel_ms")

Ranks = Annotated[
    str | None, typer.Option(help="Instead of laws: what GLA's time becomes on so many devices, on paper, e.g. 2,4,8.")
]
Bandwidth = Annotated[str, typer.Option(help="With --ranks: GB/s that each of them sends, e.g. 25,200.")]
StepUs = Annotated[float, typer.Option(help="With --ranks: microseconds of a message beside its bytes.", min=0)]
Length = Annotated[str | None, typer.Option(help="With --ranks: tokens; default: those that were measured.")]
Time = Annotated[
    str | None, typer.Option(help="With --ranks, instead of runs: tokens=milliseconds on one device, 65536=12.5.")
]
Shape = Annotated[str, typer.Option(help="With --time: heads x key_dim x value_dim.")]
Precision = Annotated[str, typer.Option(help="With --time: float32, bfloat16, float16.")]
Phase = Annotated[str, typer.Option(help="With --time: inference or training.")]


def scaled_over_ranks(
    runs: Sequence[str],
    metric: str,
    ranks: str,
    bandwidth: str,
    step_us: float,
    length: str | None,
    given: Sequence[Alone],
) -> pd.DataFrame:
    """The table of `scale_over_ranks`, of the times that are given, or else of runs; ValueError names the option."""
    numbers = _each("--ranks", ranks, options.whole_number)
    rates = _each("--bandwidth", bandwidth, _positive)
    lengths = None if length is None else _each("--length", length, options.whole_number)
    if min(numbers) < 2:
        raise ValueError("--ranks: 1 is the device that was measured; give 2 or more.")
    options.one_of_names("--metric", metric, METRICS)

    from vigbench.analysis.rank_scaling import measured_alone, scale_over_ranks
    from vigbench.records.load import load_results

    alone = list(given) or measured_alone(load_results(runs), metric)
    shortest = min(lengths or [one.length for one in alone])
    if shortest < max(numbers):
        raise ValueError(f"--ranks: {max(numbers)} ranks have no tokens each of {shortest}; give fewer, or --length.")
    return scale_over_ranks(alone, numbers, rates, lengths=lengths, step_us=step_us)


def given_times(time: str | None, shape: str, precision: str, phase: str) -> list[Alone]:
    """The times in a text such as `16384=3.1,65536=12.5`; ValueError names the option."""
    if time is None:
        return []
    from vigbench.analysis.rank_scaling import PHASES, Alone

    heads = options.head_shape("--shape", shape)
    of = options.precision_name("--precision", precision), options.one_of_names("--phase", phase, list(PHASES))
    found = []
    for part in options.listed("--time", time, "time"):
        tokens, _, milliseconds = part.partition("=")
        length, time_ms = options.whole_number("--time", tokens), _positive("--time", milliseconds)
        found.append(Alone(length, heads, time_ms, precision=of[0], phase=of[1]))
    return found


def _each(option: str, text: str, read: Callable[[str, str], T]) -> list[T]:
    return [read(option, part) for part in options.listed(option, text, "value")]


def _positive(option: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ValueError(f"{option}: {text!r} is not a number above 0; write for example 12.5.")
    return value
