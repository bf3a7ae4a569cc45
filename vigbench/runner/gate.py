"""The gate of two runs: deterministic metrics must not grow at all, timings not beyond the margin."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Any

import pandas as pd

from vigbench.analysis.compare import compare, empty_row, judged_frame
from vigbench.analysis.growth import find_growth
from vigbench.analysis.sides import SETTINGS, require_comparable
from vigbench.records.fingerprint import fingerprint
from vigbench.records.load import load_results
from vigbench.records.run_info import require_keys
from vigbench.records.store import RunStore
from vigbench.runner.duel import ContestantFailedError, Effort
from vigbench.runner.duel_result import DuelProgress, DuelResult, duel
from vigbench.runner.machine import describe_machine
from vigbench.runner.run import describe_run, plan_for
from vigbench.stats.hierarchical import Estimate
from vigbench.stats.verdict import DEFAULT_MARGIN, Verdict
from vigbench.suites.case import Case


@dataclass(frozen=True)
class GateResult:
    """What became of a build beside its baseline.

    Attributes:
        growth: deterministic metrics, see `analysis.growth.find_growth`.
        timings: as `vigbench.compare` returns them; only interleaved ratios have a verdict.
        margin: smallest slow-down that matters, as a share.
    """

    growth: pd.DataFrame
    timings: pd.DataFrame
    margin: float

    @property
    def passed(self) -> bool:
        """Whether nothing grew, is slower or no longer ok."""
        return not (self.growth["grown"].any() or self.timings["regression"].any())

    @property
    def inconclusive(self) -> bool:
        """Whether a timing says neither."""
        return bool((self.timings["verdict"] == Verdict.INCONCLUSIVE).any())


class GateProgress(DuelProgress):
    """Told how a gate goes on; by itself it says nothing."""

    def growth_found(self, growth: pd.DataFrame) -> None:
        """The deterministic metrics are compared; duels come next, if there are any."""


def gate(
    baseline: str | Path,
    head: str | Path,
    *,
    baseline_python: str | Path | None = None,
    effort: Effort = Effort(),  # noqa: B008  frozen
    margin: float = DEFAULT_MARGIN,
    across: Sequence[str] = (),
    command_line: Sequence[str] = (),
    progress: GateProgress | None = None,
) -> GateResult:
    """Has a build become slower, larger or more expensive than an earlier one?

    Timings count only as interleaved ratios: against the baseline build itself, or against the fixed workload that
    takes turns with each case in both runs (`calibrate: true` in the suite).

    Args:
        baseline: folder of a finished run by the baseline build.
        head: the same suite's by the build to judge.
        baseline_python: Python of an environment with the baseline build: timings are then duels with it.
        effort: of those duels.
        margin: smallest slow-down that matters, as a share.
        across: fields of the fingerprint that may differ.
        command_line: for the record of duels, what was typed.
        progress: told how it goes on.

    Raises:
        ValueError: if a run is not finished, the two do not compare, or the baseline build cannot be timed.
    """
    progress = progress or GateProgress()
    base_run, head_run = _finished(baseline), _finished(head)
    if (suite := head_run.info()["suite"]) != (other := base_run.info()["suite"]):
        raise ValueError(f"{head} is a run of suite {suite}, and {baseline} one of {other}; name runs of one suite.")
    if baseline_python is not None:
        require_baseline(baseline, baseline_python, across)
    timings = _timings(base_run, head_run, margin, across)
    growth = find_growth(load_results(base_run.folder), load_results(head_run.folder))
    progress.growth_found(growth)
    if baseline_python is not None:
        beside_baseline = partial(
            duel,
            base_python=baseline_python,
            effort=effort,
            margin=margin,
            out=head_run.folder / "duels",
            command_line=command_line,
            progress=progress,
        )
        timings = judged_frame([_row_of_duel(row, beside_baseline) for row in timings.to_dict("records")], margin)
    return GateResult(growth, timings, margin)


def require_baseline(baseline: str | Path, python: str | Path, across: Sequence[str] = ()) -> None:
    """Raise ValueError unless that Python has the build and the software with which the baseline run was made."""
    run = _finished(baseline)
    info = run.info()
    require_keys(info, run.info_file, ("cases",))
    there = describe_machine(Case.model_validate(info["cases"][0]), str(python))
    if info.get("code") and there["code"] != info["code"]:
        raise ValueError(
            f"{python} has build {there['code']} of vigbench, and {baseline} was made by build {info['code']}: make "
            "the baseline run with that Python, or name the one that made it."
        )
    require_comparable(str(baseline), fingerprint(info), str(python), fingerprint(there), across)


def require_same_suite(baseline: str | Path, suite: str | Path, across: Sequence[str] = ()) -> str:
    """Raise ValueError unless a run of the suite, here and now, would compare with the baseline; measures nothing.

    Returns:
        The device that it has to run on.
    """
    run = _finished(baseline)
    info = run.info()
    require_keys(info, run.info_file, ("device",))
    definition, planned = plan_for(suite, info["device"])
    if definition.name != info["suite"]:
        raise ValueError(
            f"{baseline} is a run of suite {info['suite']}, not of {definition.name}; name that suite or another "
            "baseline."
        )
    now = fingerprint(describe_run(definition, planned, []))
    require_comparable(str(baseline), fingerprint(info), "this machine", now, across)
    return str(info["device"])


def _finished(folder: str | Path) -> RunStore:
    store = RunStore.open(Path(folder))
    info = store.info()
    require_keys(info, store.info_file, ("suite",))
    if not info.get("finished_at"):
        raise ValueError(f"{folder} is not finished; continue it with: vigbench run --resume {quote(str(folder))}")
    return store


def _timings(base: RunStore, head: RunStore, margin: float, across: Sequence[str]) -> pd.DataFrame:
    """The comparison of two runs, of which only calibrated ratios count: another moment says nothing about the code."""
    timings = compare(base.folder, head.folder, margin=margin, across=across)
    lost = timings["base_status"].notna() & timings["head_status"].isna()
    timings.loc[lost, "regression"] = True
    timings.loc[lost, "note"] = "no longer measured"
    bare = timings["ratio"].notna() & ~timings["note"].str.contains("calibrated")
    timings.loc[bare, "verdict"] = Verdict.INCONCLUSIVE.value
    timings.loc[bare, "regression"] = False
    timings.loc[bare, "note"] = "not calibrated: use calibrate: true in the suite, or --baseline-python"
    return timings


def _row_of_duel(
    found: Mapping[Hashable, Any], beside_baseline: Callable[[Case, Case], DuelResult]
) -> tuple[dict[str, Any], Estimate | None]:
    """A row of timings with its ratio from a duel of the two builds, instead of from two moments."""
    settings = {name: found[name] for name in SETTINGS}
    row = empty_row(settings) | {name: found[name] for name in ("base_status", "head_status", "note")}
    if found["base_status"] != "ok" or found["head_status"] != "ok":
        return row | {"regression": found["regression"]}, None
    case = Case.model_validate(settings)
    try:
        result = beside_baseline(case, case)
    except ContestantFailedError as error:
        if error.contestant.python is not None:
            raise  # without the baseline there is nothing to judge by
        return row | {"regression": True, "note": str(error)}, None
    row |= {"base": result.base_ms, "head": result.head_ms, "note": "interleaved with the baseline build"}
    return row, result.log_ratio
