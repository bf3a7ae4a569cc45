"""What claims need and nobody has measured yet: counts of models, duels and runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from vigbench.analysis.claims.evidence import Counts, Evidence, on_each_device, rows_of
from vigbench.analysis.claims.schema import Claim, ClaimPoint, ClaimSide, Quantity, choose_claims, load_claims
from vigbench.analysis.claims.sources import read_sources
from vigbench.measure.environment import device_name
from vigbench.ops.registry import UnsupportedError
from vigbench.records.store import RunStore
from vigbench.runner.duel import ContestantFailedError, Effort
from vigbench.runner.duel_result import DuelProgress, duel
from vigbench.runner.run import continue_run, start_run
from vigbench.runner.survey import estimated_s
from vigbench.subjects.catalog import resolve_implementations
from vigbench.suites.axes import Device
from vigbench.suites.case import Case
from vigbench.suites.planner import Overrides, Plan
from vigbench.worker.describe import choose_device
from vigbench.worker.survey import count_subject

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
            ranks=[ours.ranks],
            exchange=list(dict.fromkeys(side.exchange.value for side in sides if side.exchange)) or None,
            threads=ours.threads,
            budget=budget_s,
        )

    def estimated_s(self) -> float:
        """Seconds that it may take."""
        alone = sum(estimated_s(case) for case in (self.ours, self.theirs))
        return EFFORT[self.ours.device].processes * (alone + MIN_PREPARING_S) if self.is_duel else alone


class ClaimsProgress(DuelProgress):
    """Told how the measuring of what claims lack goes on; by itself it says nothing."""

    def comparisons_found(self, count: int, out: Path) -> None:
        """So many are to be measured, into `out`."""

    def comparison_started(self, comparison: Comparison, number: int, total: int) -> None:
        """Comparison `number` of `total` starts."""

    def budget_spent(self, left_out: int, left_s: float, next_s: float) -> None:
        """So many are left out: of the budget `left_s` are left, and the next may take `next_s`."""

    def contestant_failed(self, error: ContestantFailedError) -> None:
        """A duel has no result."""


def measure_claims(
    claims: Iterable[str] = ("*",),
    evidence: Iterable[str | Path] = (),
    *,
    out: str | Path,
    device: str = "auto",
    threads: int = 0,
    budget_s: float = 1800.0,
    command_line: Sequence[str] = (),
    progress: ClaimsProgress | None = None,
    measure: Callable[[RunStore, Plan], bool] = continue_run,
) -> bool:
    """Measure what claims about speed and memory lack on this machine, the quickest first, while there is time.

    What ranks send is the same anywhere, and counted on the CPU.
    Then `vigbench.check_claims([*evidence, f"{out}/*"])` says which hold.

    Args:
        claims: ids or globs of them.
        evidence: folders of runs and duels, or patterns of them: what they know is not measured again.
        out: gets a folder for each comparison; what it holds already is not measured again.
        device: auto, cpu or cuda.
        threads: of a CPU; 0: one for each physical core.
        budget_s: seconds for all of it.
        command_line: for the record, what was typed.
        progress: told how it goes on.
        measure: finishes a run; True unless interrupted.

    Returns:
        True unless interrupted.

    Raises:
        ValueError: for a claim, a device or evidence that is none, or if nothing can be written to `out`.
    """
    begin, out, progress = monotonic(), Path(out), progress or ClaimsProgress()
    chosen = choose_claims(claims)
    found = read_sources([*map(str, evidence), *measured_in(out)])
    known = on_each_device(rows_of(found.frame), found.duels)
    todo = sorted(missing(chosen, known, choose_device(device), threads), key=lambda pair: pair.estimated_s())
    progress.comparisons_found(len(todo), out)
    for number, pair in enumerate(todo):
        if (left_s := budget_s - (monotonic() - begin)) < pair.estimated_s():
            progress.budget_spent(len(todo) - number, max(0.0, left_s), pair.estimated_s())
            break
        progress.comparison_started(pair, number + 1, len(todo))
        if pair.is_duel:
            effort = EFFORT[pair.ours.device]
            try:
                duel(pair.ours, pair.theirs, effort=effort, out=out, command_line=command_line, progress=progress)
            except ContestantFailedError as error:
                progress.contestant_failed(error)
            continue
        changes = pair.overrides(left_s)
        if not measure(
            *start_run(None, out=out, device=pair.ours.device, overrides=changes, command_line=command_line)
        ):
            return False
    return True


def measured_in(out: Path) -> list[str]:
    """The pattern of what `measure_claims` has left in `out`; none where there is nothing yet."""
    return [f"{out}/*"] if any(out.glob("*/*.json")) else []


def count_claimed_models(claims: Sequence[Claim] | None = None) -> Counts:
    """Parameters and multiply-adds of every model that a claim counts, on the meta device.

    A model of a package that is not installed has none, and its claims stay open.

    Args:
        claims: which; default: all.
    """
    found: dict[tuple[str, int], dict[str, float]] = {}
    for claim in load_claims() if claims is None else claims:
        for point in claim.points if claim.quantity.is_of_model and not claim.lacks else ():
            for side in (claim.ours, claim.theirs):
                if side is not None and point.resolution is not None:
                    key = (side.subject, point.resolution)
                    with suppress(UnsupportedError):
                        found[key] = found.get(key) or _count(*key)
    return found


def missing(
    claims: Sequence[Claim], evidence: Sequence[Evidence], device: Device, threads: int = 0
) -> Iterator[Comparison]:
    """The comparisons that the evidence lacks, each once, in the order of the claims; none of a model that is not here.

    Args:
        claims: those about speed, memory and what ranks send are looked at.
        evidence: what is known; of speed and memory only that of the same device and, on a CPU, threads counts.
        device: on which to compare; what ranks send is counted on the CPU, which has as many ranks as one likes.
        threads: of a CPU; 0: one for each physical core.
    """
    seen: set[tuple[bool, Case, Case]] = set()
    # a GPU is not asked for its name: that would leave a context on it beside every case
    name = device_name(device, threads) if device is Device.cpu else None
    here = [known for known in evidence if known.device == device and name in (None, known.device_name)]
    for claim in claims:
        if claim.lacks or not claim.quantity.needs_run:
            continue
        place, known_there = (Device.cpu, evidence) if claim.quantity.is_counted else (device, here)
        for point in claim.points:
            for ours, theirs in _pairs(claim):
                if any(_is_known(known, claim, ours, theirs, point) for known in known_there):
                    continue
                try:
                    cases = [_case(claim, side, point, place, threads) for side in (ours, theirs)]
                except UnsupportedError:  # of a package that is not installed
                    continue
                comparison = Comparison(claim, *cases)
                if (key := (comparison.is_duel, comparison.ours, comparison.theirs)) not in seen:
                    seen.add(key)
                    yield comparison


def _pairs(claim: Claim) -> list[tuple[ClaimSide, ClaimSide]]:
    assert claim.theirs is not None
    others = [(other.ours or claim.ours, other.theirs or claim.theirs) for other in claim.beside]
    return [(claim.ours, claim.theirs), *others]


def _is_known(evidence: Evidence, claim: Claim, ours: ClaimSide, theirs: ClaimSide, point: ClaimPoint) -> bool:
    if claim.quantity is Quantity.latency_ms:
        return evidence.duel(claim, ours, theirs, point) is not None
    return all(evidence.best_row(claim, side, point) is not None for side in (ours, theirs))


def _case(claim: Claim, side: ClaimSide, point: ClaimPoint, device: Device, threads: int) -> Case:
    batch_size, precision = Evidence(device.value, "").setting(claim, point)
    requested = [side.implementation] if side.implementation else []
    (implementation,) = resolve_implementations(side.subject, requested, device)
    shape = {} if (sizes := claim.shape_at(point)) is None else sizes._asdict()
    return Case(
        subject=side.subject,
        implementation=implementation,
        resolution=point.resolution,
        length=point.length,
        **shape,
        batch_size=batch_size,
        precision=precision,
        phase=claim.phase,
        ranks=claim.ranks,
        exchange=side.exchange,
        device=device,
        threads=threads if device is Device.cpu else 0,
    )


def _count(subject: str, resolution: int) -> dict[str, float]:
    (implementation,) = resolve_implementations(subject, [], Device.cpu)
    cost = count_subject(Case(subject=subject, implementation=implementation, resolution=resolution))
    return {"params": float(cost.params), "gmacs": cost.macs / 1e9}
