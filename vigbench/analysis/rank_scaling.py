"""What a time on one device becomes over ranks, on paper: the model of `sequence_parallel` with measured rates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from vigbench.analysis.sequence_parallel import (
    Cluster,
    CutSequence,
    Phase,
    bytes_sent,
    crossover_length,
    time_s,
)
from vigbench.records.schema import Status
from vigbench.suites.axes import Exchange
from vigbench.suites.case import Case
from vigbench.suites.shape import Shape

MIB = 2**20
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
PHASES: dict[str, tuple[Phase, ...]] = {"inference": ("forward",), "training": ("forward", "backward")}
STEP_US = 10.0  # what a message takes beside its bytes, where nobody says it
SETTINGS = ("shape", "batch_size", "precision", "phase")
COLUMNS = (
    *SETTINGS, "length", "alone_ms", "ranks", "exchange", "gb_per_s", "sent_mib_per_rank", "key_value_mib_per_rank",
    "predicted_ms", "speedup", "crossover_tokens", "faster_from_tokens",
)  # fmt: skip


@dataclass(frozen=True)
class Alone:
    """GLA of a sequence on one device, both directions.

    Attributes:
        time_ms: of one iteration.
        attention_ms: of softmax attention of the same sequence, by the fastest of its implementations; None: unknown.
    """

    length: int
    shape: Shape
    time_ms: float
    batch_size: int = 1
    precision: str = "float32"
    phase: str = "inference"
    attention_ms: float | None = None

    @property
    def group(self) -> tuple[Any, ...]:
        """All but the length and the times."""
        return str(self.shape), self.batch_size, self.precision, self.phase

    @property
    def whole(self) -> CutSequence:
        """The sequence, uncut."""
        return CutSequence(length=self.length, ranks=1, batch=self.batch_size, **self.shape._asdict())

    def cluster(self, gb_per_s: float, step_us: float) -> Cluster:
        """Ranks that compute as fast as this device did, behind links of such a bandwidth."""
        unit = Cluster(
            latency_s=step_us / 1e6,
            bytes_per_s=gb_per_s * 1e9,
            gla_macs_per_s=1.0,
            attention_macs_per_s=1.0,
            element_bytes=BYTES[self.precision],
        )
        attention_ms = self.time_ms if self.attention_ms is None else self.attention_ms
        return replace(
            unit,
            gla_macs_per_s=_seconds("gla_ring", self.whole, unit, self.phase) / self.time_ms * 1e3,
            attention_macs_per_s=_seconds("attention_ring", self.whole, unit, self.phase) / attention_ms * 1e3,
        )


def measured_alone(frame: pd.DataFrame, metric: str = "latency_ms") -> list[Alone]:
    """The times of the operator `gla` on one device in a frame of `load_results`, by its fastest implementation.

    Raises:
        ValueError: if there is none.
    """
    ok = frame[(frame["status"] == Status.ok.value) & (frame["ranks"] == 1) & frame[metric].notna()]
    times: dict[tuple[Any, ...], dict[str, float]] = {}
    for row in ok[ok["subject"].isin(("gla", "attention"))].to_dict("records"):
        case = Case.model_validate({name: row[name] for name in Case.model_fields})
        if case.phase.value in PHASES and case.shape is not None:
            key = (case.length, case.shape, case.batch_size, case.precision.value, case.phase.value)
            of_subject = times.setdefault(key, {})
            of_subject[case.subject] = min(row[metric], of_subject.get(case.subject, row[metric]))
    found = [
        Alone(length, shape, one["gla"], batch, precision, phase, one.get("attention"))
        for (length, shape, batch, precision, phase), one in times.items()
        if "gla" in one
    ]
    if not found:
        raise ValueError(
            f"No record has {metric} of the operator gla on one device: run vigbench run --suite sequence-parallel, or "
            "give a time, --time 65536=12.5."
        )
    return sorted(found, key=lambda one: (*map(str, one.group), one.length))


def scale_over_ranks(
    alone: Sequence[Alone],
    ranks: Sequence[int],
    gb_per_s: Sequence[float],
    *,
    lengths: Sequence[int] | None = None,
    step_us: float = STEP_US,
) -> pd.DataFrame:
    """What each time becomes on so many devices of the same kind, by the model of docs/sequence-parallel.md.

    Args:
        alone: times on one device.
        ranks: numbers of devices, at least 2.
        gb_per_s: 10^9 bytes that a device sends in a second, each.
        lengths: tokens; those that were not measured cost as much a token as the longest of the same settings. None:
            those of `alone`.
        step_us: microseconds of a message beside its bytes.

    Returns:
        A row for each: the settings; `alone_ms`; `sent_mib_per_rank`, and `key_value_mib_per_rank`, which gathering
        keys and values would send; `predicted_ms` and `speedup`, alone / predicted; `crossover_tokens`: the length
        above which states are less to send than keys and values; `faster_from_tokens`: the length from which GLA is
        predicted to be faster than attention that gathers keys and values (in training: their backward passes), missing
        where no attention was measured, or never.

    Raises:
        ValueError: for less than 2 ranks, a bandwidth that is none, or fewer tokens than ranks.
    """
    if min(ranks) < 2 or min(gb_per_s) <= 0:
        raise ValueError("give 2 ranks or more, and bandwidths above 0 GB/s")
    cases = list(alone) if lengths is None else _at_lengths(alone, lengths)
    rows = [
        _row(one, number, exchange, rate, step_us)
        for one in cases
        for number in ranks
        for exchange in Exchange
        for rate in gb_per_s
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def sent_bytes(case: Case, operator: str | None) -> float | None:
    """What a rank of an operator's case sends by the formulas; None where there are none for it."""
    if case.shape is None or case.length is None or case.exchange is None or operator not in ("gla", "attention"):
        return None
    shape = case.shape
    if operator == "attention":  # keys are measured as wide as values
        shape = shape._replace(key_dim=max(shape.key_dim, shape.value_dim))
    cut = CutSequence(length=case.length, ranks=case.ranks, batch=case.batch_size, **shape._asdict())
    phases, method = PHASES[case.phase.value], f"{operator}_{case.exchange}"
    return sum(bytes_sent(method, cut, phase, BYTES[case.precision]) for phase in phases)


def _at_lengths(alone: Sequence[Alone], lengths: Sequence[int]) -> list[Alone]:
    longest = {one.group: one for one in sorted(alone, key=lambda one: one.length)}
    known = {(one.group, one.length): one for one in alone}
    return [
        known.get((group, length)) or _stretched(one, length) for group, one in longest.items() for length in lengths
    ]


def _stretched(one: Alone, length: int) -> Alone:
    """At another length: GLA takes as long for each token, attention for each pair of tokens."""
    share = length / one.length
    attention_ms = None if one.attention_ms is None else one.attention_ms * share**2
    return replace(one, length=length, time_ms=one.time_ms * share, attention_ms=attention_ms)


def _row(one: Alone, ranks: int, exchange: Exchange, gb_per_s: float, step_us: float) -> dict[str, Any]:
    cut, cluster = replace(one.whole, ranks=ranks), one.cluster(gb_per_s, step_us)
    method, phases = f"gla_{exchange}", PHASES[one.phase]
    states, keys = (
        sum(bytes_sent(name, cut, phase, cluster.element_bytes) for phase in phases)
        for name in (method, "attention_all_gather")
    )
    predicted_ms = 1e3 * _seconds(method, cut, cluster, one.phase)
    faster = None
    if one.attention_ms is not None:
        faster = crossover_length(cut, cluster, phases[-1], method, "attention_all_gather")
    return {
        **dict(zip(SETTINGS, one.group, strict=True)),
        "length": one.length,
        "alone_ms": one.time_ms,
        "ranks": ranks,
        "exchange": exchange.value,
        "gb_per_s": gb_per_s,
        "sent_mib_per_rank": states / MIB,
        "key_value_mib_per_rank": keys / MIB,
        "predicted_ms": predicted_ms,
        "speedup": one.time_ms / predicted_ms,
        "crossover_tokens": one.length * states / keys,
        "faster_from_tokens": faster,
    }


def _seconds(method: str, cut: CutSequence, cluster: Cluster, phase: str) -> float:
    return sum(time_s(method, cut, cluster, each) for each in PHASES[phase])
