"""One case in one or several fresh processes, and the one result that they make together."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from operator import itemgetter
from statistics import median
from typing import Any

from vigbench.analysis.disturbance import CONTENDED
from vigbench.measure.contention import CONTENDED_DROP, CONTENDED_LOAD
from vigbench.records.column import Combine
from vigbench.records.metrics import COLUMNS, SOURCES, Metrics, of_source, with_interval
from vigbench.records.schema import Status
from vigbench.records.stages import seconds_of, stage_columns
from vigbench.stats.hierarchical import UNSEEN_SPREAD, estimate
from vigbench.suites.case import Case
from vigbench.suites.resolution import mean_side
from vigbench.worker.messages import Outcome


def _joined(several: Sequence[str]) -> str:
    return ";".join(dict.fromkeys(part for text in several for part in text.split(";") if part))


COMBINED: dict[Combine, Callable[[list[Any]], Any]] = {
    Combine.same: itemgetter(0),
    Combine.largest: max,
    Combine.smallest: partial(min, key=mean_side),
    Combine.total: sum,
    Combine.middle: median,
    Combine.joined: _joined,
}
"""How columns are combined one by one; estimates need the raw samples."""


@dataclass(frozen=True)
class Measured:
    """What a case came to.

    Attributes:
        samples: for each process, quantity -> raw values in the order taken.
    """

    status: Status
    reason: str = ""
    operator: str | None = None
    marks: tuple[str, ...] = ()
    metrics: Metrics = field(default_factory=Metrics)
    samples: tuple[Mapping[str, Sequence[float]], ...] = ()
    operators: Mapping[str, int] = field(default_factory=dict)
    kernels: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def failed(cls, status: Status, reason: str) -> Measured:
        """A result without numbers."""
        return cls(status, reason)

    def disturbance(self) -> tuple[float, ...]:
        """How much other processes were felt; of two results the one with less is kept, whatever their latencies."""
        metrics = self.metrics
        load = max(metrics.other_load or 0.0, metrics.other_load_after or 0.0) / CONTENDED_LOAD
        drop = (metrics.rate_drop or 0.0) / CONTENDED_DROP
        failed, contended = self.status is not Status.ok, CONTENDED in self.marks
        return float(failed), float(contended), float(metrics.gpu_others or 0), max(load, drop)


def failed(outcomes: Sequence[Outcome], reason: str = "") -> Measured:
    """The last outcome, which is a failure, with the seconds of all processes.

    Args:
        outcomes: at least one.
        reason: instead of its own.
    """
    last = _alone(outcomes[-1])
    return _with_seconds(outcomes, replace(last, reason=reason or last.reason))


def _alone(outcome: Outcome) -> Measured:
    return Measured(
        status=outcome.status,
        reason=outcome.reason,
        operator=outcome.operator,
        marks=outcome.marks,
        metrics=outcome.metrics,
        samples=(outcome.samples,),
        operators=outcome.operators,
        kernels=outcome.kernels,
    )


def _with_seconds(outcomes: Sequence[Outcome], failure: Measured) -> Measured:
    """The failure, with the seconds of all processes."""
    spent = stage_columns(seconds_of(outcome.metrics for outcome in outcomes))
    return replace(failure, metrics=failure.metrics.model_copy(update=spent))


def combined(outcomes: Sequence[Outcome], case: Case) -> Measured:
    """What processes that measured one case make together; where they measured different things it is an error."""
    if len(outcomes) == 1:
        alone = _alone(outcomes[0])
        return replace(alone, metrics=alone.metrics.model_copy(update={"processes": 1}))
    for source in dict.fromkeys(SOURCES.values()):
        outcomes = _with_one(source, outcomes)
    known = {
        name: [value for outcome in outcomes if (value := getattr(outcome.metrics, name)) is not None]
        for name in COLUMNS
    }
    if differing := _differing(known):
        reason = f"The processes differ in {differing}; build the subject the same way in each, e.g. from a fixed seed."
        return _with_seconds(outcomes, Measured.failed(Status.error, reason))
    one_by_one = {
        name: COMBINED[column.combine](known[name])
        for name, column in COLUMNS.items()
        if column.combine in COMBINED and known[name]
    }
    samples = tuple(outcome.samples for outcome in outcomes)
    return Measured(
        status=Status.ok,
        operator=outcomes[0].operator,
        marks=tuple(dict.fromkeys(mark for outcome in outcomes for mark in outcome.marks)),
        metrics=Metrics.model_validate({**one_by_one, **_estimates(samples, case), "processes": len(outcomes)}),
        samples=samples,
        operators=max((outcome.operators for outcome in outcomes), key=_calls),  # as the columns that count them say
        kernels=max((outcome.kernels for outcome in outcomes), key=_calls),
    )


def _differing(known: Mapping[str, Sequence[Any]]) -> str:
    """What follows from the case alone and yet differs: `params (5 and 6)`; empty where nothing does."""
    found = {name: dict.fromkeys(values) for name, values in known.items() if COLUMNS[name].combine is Combine.same}
    return ", ".join(f"{name} ({' and '.join(map(str, values))})" for name, values in found.items() if len(values) > 1)


def _calls(by_name: Mapping[str, int]) -> int:
    return sum(by_name.values())


def _with_one(source: str, outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Without the values of processes that found theirs in another way than most did."""
    kinds = Counter(kind for outcome in outcomes if (kind := getattr(outcome.metrics, source)) is not None)
    kept = kinds.most_common(1)[0][0] if kinds else None
    names = of_source(source)
    return [
        outcome
        if getattr(outcome.metrics, source) == kept
        else outcome.model_copy(
            update={
                "metrics": outcome.metrics.model_copy(update=dict.fromkeys(names)),
                "samples": {name: values for name, values in outcome.samples.items() if name not in names},
            }
        )
        for outcome in outcomes
    ]


def _queued(samples: Sequence[Mapping[str, Sequence[float]]]) -> list[Sequence[float]]:
    """Milliseconds of a queued call where they were taken (CUDA), else of a latency sample."""
    return [process.get("queued_call_ms", process["latency_ms"]) for process in samples]


def _estimates(samples: Sequence[Mapping[str, Sequence[float]]], case: Case) -> dict[str, float]:
    """Geometric mean of the processes' medians, with an interval that holds the spread between processes.

    Two processes do not show that spread; for them it is the one that a comparison assumes too.
    """
    latency = _log_interval([process["latency_ms"] for process in samples], case.device)
    queued, queued_low, queued_high = _log_interval(_queued(samples), case.device)
    rates = (1e3 * case.batch_size / one_ms for one_ms in (queued, queued_high, queued_low))
    return {**with_interval("latency_ms", *latency), **with_interval("throughput_per_s", *rates)}


def _log_interval(groups_ms: Sequence[Sequence[float]], device: str) -> tuple[float, float, float]:
    logarithms = [[math.log(sample_ms) for sample_ms in group] for group in groups_ms]
    found = estimate(logarithms, UNSEEN_SPREAD[device])
    return math.exp(found.value), *(math.exp(end) for end in found.interval())  # type: ignore[return-value]
