"""What is known on one device: records, duels, evaluations and counts; and what of it belongs to a claim's point."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from vigbench.analysis.claims.schema import Claim, ClaimPoint, ClaimSide, Quantity
from vigbench.analysis.disturbance import LEFT_OUT, left_out, relative_error
from vigbench.analysis.sequence_parallel import CutSequence, bytes_sent
from vigbench.analysis.sequence_parallel import Phase as Pass
from vigbench.records.accuracy import Accuracy, AccuracyRow
from vigbench.records.duel import Duel
from vigbench.records.schema import Status
from vigbench.stats.growth_law import NORMAL_95
from vigbench.suites.axes import SWEPT, Device, Precision, known
from vigbench.suites.resolution import read_resolution

CLAIMED = ("batch_size", "precision", "phase", "ranks", "exchange")  # what a claim says; others are at their default
PLAIN = [axis for axis in SWEPT if not axis.of_size and axis.name not in CLAIMED]
ANY_DEVICE = "any machine"
IMAGENET_IMAGES = 50_000  # of the validation set
Counts = Mapping[tuple[str, int], Mapping[str, float]]
"""(model, resolution in px) -> `params` and `gmacs`."""


@dataclass(frozen=True)
class Amount:
    """A number with its 95% interval; a count's interval is the number itself."""

    value: float
    low: float
    high: float
    source: str = ""  # as `2 duels`
    disturbed: bool = False  # of a record whose value carries no conclusion: it decides nothing


@dataclass(frozen=True)
class Evidence:
    """What is known on one device, or of counts and accuracies on any.

    Attributes:
        device: cpu or cuda; empty for what holds on any machine.
        device_name: as records name it.
        rows: records, one mapping each.
    """

    device: str
    device_name: str
    rows: Sequence[Mapping[str, Any]] = ()
    duels: Sequence[Duel] = ()
    accuracies: Sequence[Accuracy] = ()
    counts: Counts | None = None  # None: nothing is counted but by records

    def setting(self, claim: Claim, point: ClaimPoint) -> tuple[int, Precision]:
        """Batch size and precision in which a claim is looked at here."""
        if self.device == Device.cpu and claim.quantity.needs_gpu:
            return 1, Precision.float32
        return claim.batch_size_at(point), claim.precision

    def amount(self, claim: Claim, side: ClaimSide, point: ClaimPoint) -> Amount | None:
        """What one side has of the claim's quantity, and how sure that is; None where it was not measured."""
        if claim.quantity is Quantity.top1_percent:
            return self._accuracy(side, point)
        if claim.quantity.is_of_model:
            return self._count(claim.quantity, side, point)
        row = self.best_row(claim, side, point)
        value = None if row is None else row.get(claim.quantity.value)
        if row is None or value is None or pd.isna(value):
            counted = claim.quantity is Quantity.sent_mib_per_rank and self.counts is not None
            return _sent(claim, side, point) if counted else None
        disturbed = claim.quantity.value in row[LEFT_OUT]
        if claim.quantity is not Quantity.latency_ms:
            return Amount(float(value), float(value), float(value), "run", disturbed)
        half = NORMAL_95 * relative_error(row, "latency_ms")
        return Amount(float(value), value * math.exp(-half), value * math.exp(half), "run", disturbed)

    def best_row(self, claim: Claim, side: ClaimSide, point: ClaimPoint) -> Mapping[str, Any] | None:
        """The fastest record that a side has there, those that are not disturbed first.

        One without a result if there is no other, None if none at all.
        """
        rows = [row for row in self._rows_at(side, point) if self._belongs(row, claim, side, point)]
        timed = [row for row in rows if row["status"] == Status.ok and not pd.isna(row["latency_ms"])]
        sound = [row for row in timed if "latency_ms" not in row[LEFT_OUT]] or timed
        return min(sound, key=lambda row: row["latency_ms"]) if sound else next(iter(rows), None)

    def duel(self, claim: Claim, ours: ClaimSide, theirs: ClaimSide, point: ClaimPoint) -> Amount | None:
        """Time of theirs over that of ours; of several duels the geometric mean, and their whole range."""
        found = []
        for duel in self.duels:
            base, head = duel.base.model_dump(mode="json"), duel.head.model_dump(mode="json")
            if self._belongs(base, claim, ours, point) and self._belongs(head, claim, theirs, point):
                found.append((duel.ratio, duel.low, duel.high))
            elif self._belongs(head, claim, ours, point) and self._belongs(base, claim, theirs, point):
                found.append((1 / duel.ratio, 1 / duel.high, 1 / duel.low))
        if not found:
            return None
        value = math.exp(sum(math.log(ratio) for ratio, _, _ in found) / len(found))
        source = "a duel" if len(found) == 1 else f"the range of {len(found)} duels"
        return Amount(value, min(low for _, low, _ in found), max(high for _, _, high in found), source)

    @cached_property
    def _index(self) -> Mapping[tuple[Any, ...], list[Mapping[str, Any]]]:
        found: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
        for row in self.rows:
            if _is_changed(row):
                continue
            found.setdefault((row["subject"], _whole(row["resolution"]), _whole(row["length"])), []).append(row)
        return found

    def _rows_at(self, side: ClaimSide, point: ClaimPoint) -> Sequence[Mapping[str, Any]]:
        return self._index.get((side.subject, point.resolution, point.length), ())

    def _belongs(self, row: Mapping[str, Any], claim: Claim, side: ClaimSide, point: ClaimPoint) -> bool:
        batch_size, precision = self.setting(claim, point)
        chosen, shape = row["implementation"], claim.shape_at(point)
        return (
            row["subject"] == side.subject
            and not _is_changed(row)
            and (chosen != "reference" if side.implementation is None else chosen == side.implementation)
            and _whole(row["resolution"]) == point.resolution
            and _whole(row["length"]) == point.length
            and (shape is None or tuple(row[name] for name in ("heads", "key_dim", "value_dim")) == shape)
            and row["batch_size"] == batch_size
            and row["precision"] == precision
            and row["phase"] == claim.phase
            and row["ranks"] == claim.ranks
            and _known(row["exchange"]) == side.exchange
            and all(_known(row[axis.name]) == axis.default for axis in PLAIN)
        )

    def _count(self, quantity: Quantity, side: ClaimSide, point: ClaimPoint) -> Amount | None:
        assert point.resolution is not None
        known = (self.counts or {}).get((side.subject, point.resolution), {})
        recorded = (row[quantity.value] for row in self._rows_at(side, point))
        value = known.get(quantity.value, next((one for one in recorded if one is not None and not pd.isna(one)), None))
        return None if value is None else Amount(float(value), float(value), float(value), "count")

    def is_imagenet(self, claim: Claim, point: ClaimPoint) -> bool:
        """Whether the sides' evaluations have as many images as ImageNet-1K's validation set."""
        rows = [self._evaluated(side, point) for side in (claim.ours, claim.theirs) if side]
        return all(row is not None and row.images == IMAGENET_IMAGES for row in rows)

    def _accuracy(self, side: ClaimSide, point: ClaimPoint) -> Amount | None:
        row = self._evaluated(side, point)
        if row is None:
            return None
        return Amount(row.top1_percent, row.top1_low_percent, row.top1_high_percent, "an evaluation")

    def _evaluated(self, side: ClaimSide, point: ClaimPoint) -> AccuracyRow | None:
        assert point.resolution is not None
        rows = [evaluation.at(point.resolution) for evaluation in self.accuracies if evaluation.subject == side.subject]
        return next((row for row in rows if row is not None), None)


def _sent(claim: Claim, side: ClaimSide, point: ClaimPoint) -> Amount:
    """What one side's ranks send in an iteration, by the formulas of docs/sequence-parallel.md."""
    shape = claim.shape_at(point)
    assert shape is not None
    assert point.length is not None
    cut = CutSequence(length=point.length, ranks=claim.ranks, batch=claim.batch_size_at(point), **shape._asdict())
    element_bytes = 4 if claim.precision is Precision.float32 else 2
    passes: list[Pass] = ["forward", "backward"] if claim.phase.trains else ["forward"]
    method = f"{side.subject}_{side.exchange}"
    mib = sum(bytes_sent(method, cut, one, element_bytes) for one in passes) / 2**20
    return Amount(mib, mib, mib, "count")


def _is_changed(row: Mapping[str, Any]) -> bool:
    """Whether the model was built with arguments: no claim is about such a one."""
    return isinstance(row.get("args"), str) and bool(row["args"])


def rows_of(frame: pd.DataFrame | None) -> list[dict[str, Any]]:
    """The records of a frame of `load_results`, each with the columns that carry no conclusion."""
    found = [] if frame is None else frame.to_dict("records")
    rows = [{str(key): value for key, value in row.items()} for row in found]
    return [{**row, LEFT_OUT: unsound} for row, unsound in zip(rows, left_out(rows), strict=True)]


def on_each_device(rows: Sequence[Mapping[str, Any]], duels: Sequence[Duel] = ()) -> list[Evidence]:
    """One for each device that records or duels name, those of a GPU first; at least one, of no device."""
    names = {(str(row["device"]), str(row["device_name"])) for row in rows}
    names |= {(duel.base.device.value, duel.device_name) for duel in duels}
    return [
        Evidence(
            device,
            name,
            [row for row in rows if (row["device"], row["device_name"]) == (device, name)],
            [duel for duel in duels if (duel.base.device, duel.device_name) == (device, name)],
        )
        for device, name in sorted(names, reverse=True) or [("", "")]
    ]


def on_any_machine(
    rows: Sequence[Mapping[str, Any]], accuracies: Sequence[Accuracy], counts: Counts | None
) -> Evidence:
    """What does not depend on the device: counts, those of records too, and accuracies."""
    return Evidence("", ANY_DEVICE, rows, (), accuracies, counts)


def _known(value: Any) -> Any:
    """A setting as a case has it."""
    return value if known(value) else None


def _whole(value: Any) -> int | str | None:
    """A size as a case has it."""
    return None if value is None or pd.isna(value) else read_resolution(value)
