"""What claims need and nobody has measured yet: counts of models, duels and runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vigbench.analysis.claims.evidence import Counts, Evidence
from vigbench.analysis.claims.schema import Claim, ClaimPoint, ClaimSide, Quantity
from vigbench.measure.environment import device_name
from vigbench.runner.duel import Effort
from vigbench.runner.estimate import count_subject, estimated_s
from vigbench.subjects.catalog import resolve_implementations
from vigbench.suites.case import Case, Device
from vigbench.suites.planner import Overrides

EFFORT = {Device.cpu: Effort(processes=3, blocks=8), Device.cuda: Effort()}  # a CPU's ratio only stands beside
MIN_PREPARING_S = 10.0  # of a pair of processes, for estimates


@dataclass(frozen=True)
class Comparison:
    """Two cases that a claim sets side by side."""

    claim: Claim
    ours: Case
    theirs: Case

    @property
    def is_duel(self) -> bool:
        """Whether they take turns; memory is the same in whatever order."""
        return self.claim.quantity is Quantity.latency_ms

    def overrides(self, budget_s: float) -> Overrides:
        """A run of both cases, without a suite, in so many seconds."""
        ours, sides = self.ours, (self.ours, self.theirs)
        return Overrides(
            subject=list(dict.fromkeys(side.subject for side in sides)),
            implementation=list(dict.fromkeys(side.implementation for side in sides)),
            resolution=None if ours.resolution is None else [ours.resolution],
            length=None if ours.length is None else [ours.length],
            shape=None if ours.shape is None else [str(ours.shape)],
            batch_size=[ours.batch_size],
            precision=[ours.precision.value],
            phase=[ours.phase.value],
            threads=ours.threads,
            budget=budget_s,
        )

    def estimated_s(self) -> float:
        """Seconds that it may take."""
        alone = sum(estimated_s(case) for case in (self.ours, self.theirs))
        return EFFORT[self.ours.device].processes * (alone + MIN_PREPARING_S) if self.is_duel else alone


def count_models(claims: Sequence[Claim]) -> Counts:
    """Parameters and multiply-adds of every model that a claim counts, on the meta device."""
    found: dict[tuple[str, int], dict[str, float]] = {}
    for claim in claims:
        for point in claim.points if claim.quantity.is_counted else ():
            for side in (claim.ours, claim.theirs):
                if side is not None and point.resolution is not None:
                    key = (side.subject, point.resolution)
                    found[key] = found.get(key) or _count(*key)
    return found


def missing(
    claims: Sequence[Claim], evidence: Sequence[Evidence], device: Device, threads: int = 0
) -> Iterator[Comparison]:
    """The comparisons that the evidence lacks, each once, in the order of the claims.

    Args:
        claims: those about speed and memory are looked at.
        evidence: what is known; only that of the same device and, on a CPU, threads counts.
        device: on which to compare.
        threads: of a CPU; 0: one for each physical core.
    """
    seen: set[tuple[bool, Case, Case]] = set()
    # a GPU is not asked for its name: that would leave a context on it beside every case
    name = device_name(device, threads) if device is Device.cpu else None
    here = [one for one in evidence if one.device == device and name in (None, one.device_name)]
    for claim in claims:
        if not claim.quantity.needs_gpu:
            continue
        for point in claim.points:
            for ours, theirs in _pairs(claim):
                if any(_is_known(one, claim, ours, theirs, point) for one in here):
                    continue
                one = Comparison(claim, *(_case(claim, side, point, device, threads) for side in (ours, theirs)))
                if (key := (one.is_duel, one.ours, one.theirs)) not in seen:
                    seen.add(key)
                    yield one


def _pairs(claim: Claim) -> list[tuple[ClaimSide, ClaimSide]]:
    assert claim.theirs is not None
    others = [(other.ours or claim.ours, other.theirs or claim.theirs) for other in claim.beside]
    return [(claim.ours, claim.theirs), *others]


def _is_known(evidence: Evidence, claim: Claim, ours: ClaimSide, theirs: ClaimSide, point: ClaimPoint) -> bool:
    if claim.quantity is Quantity.latency_ms:
        return evidence.duel(claim, ours, theirs, point) is not None
    return all(evidence.best_row(claim, side, point) is not None for side in (ours, theirs))


def _case(claim: Claim, side: ClaimSide, point: ClaimPoint, device: Device, threads: int) -> Case:
    batch_size, precision = Evidence(device.value, "").setting(claim)
    requested = [side.implementation] if side.implementation else []
    (implementation,) = resolve_implementations(side.subject, requested, device)
    shape = {} if claim.shape is None else claim.shape._asdict()
    return Case(
        subject=side.subject,
        implementation=implementation,
        resolution=point.resolution,
        length=point.length,
        **shape,
        batch_size=batch_size,
        precision=precision,
        phase=claim.phase,
        device=device,
        threads=threads if device is Device.cpu else 0,
    )


def _count(subject: str, resolution: int) -> dict[str, float]:
    (implementation,) = resolve_implementations(subject, [], Device.cpu)
    cost = count_subject(Case(subject=subject, implementation=implementation, resolution=resolution))
    return {"params": float(cost.params), "gmacs": cost.macs / 1e9}
