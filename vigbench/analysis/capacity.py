"""The largest resolution whose peak memory fits the device."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from vigbench.analysis.curves import Curve, curves_of, keys_of
from vigbench.analysis.scaling import reason
from vigbench.records.schema import Status
from vigbench.stats.growth_law import PREDICTION_FROM, GrowthLaw, evaluate

METRIC = "peak_memory_mib"
STEP_PX = 32  # patches of every usual size divide it
LIMIT_PX = 16_384
CANDIDATES = range(STEP_PX, LIMIT_PX + 1, STEP_PX)
FOUND = (
    "memory_mib", "largest_px", "largest_low_px", "largest_high_px", "largest_ok_px", "smallest_out_of_memory_px",
    "fits", "reason",
)  # fmt: skip


def largest_resolution(frame: pd.DataFrame, memory_mib: float | Mapping[str, float] | None = None) -> pd.DataFrame:
    """Find for each model's curve the largest resolution, in steps of 32 px, whose predicted peak memory fits.

    Args:
        frame: of `load_results`; operators, which have no resolution, are left out.
        memory_mib: that there is, in MiB, or for each run; default: the frame's column `device_memory_mib`.

    Returns:
        One row for each curve: `run` (where the frame has it) and the settings; `memory_mib`; `largest_px` by the
        fitted law, with the interval `largest_low_px`, `largest_high_px` where the upper and lower end of the 95%
        prediction interval of the memory fit; 0 where not even 32 px fit, missing from 16,384 px on; what was measured
        to fit, or not to fit, overrules the law; `largest_ok_px`: the largest resolution measured;
        `smallest_out_of_memory_px`: the smallest that ran out of memory in the run; `fits`: whether the law does;
        `reason`: what is empty or uncertain, and why.

    Raises:
        ValueError: if no memory is given or known, it is not above 0, the frame lacks columns, or holds a case more
            than once.
    """
    curves = [curve for curve in curves_of(frame, METRIC) if curve.over == "resolution"]
    known = memory_mib if memory_mib is not None else _of_frame(frame)
    rows = [_row(curve, _memory(curve, known)) for curve in curves]
    keys = keys_of(frame, METRIC)
    return pd.DataFrame(rows, columns=[*keys, *FOUND])


def device_memory_mib(info: Mapping[str, Any]) -> float | None:
    """Memory of a run's device by its run.json, MiB: a GPU's own, on a CPU what was free; None if unsaid."""
    environment = info.get("environment") or {}
    of_gpu, of_machine = environment.get("gpu") or {}, environment.get("memory_gib") or {}
    gib = of_gpu.get("memory_gib") if info.get("device") == "cuda" else of_machine.get("available")
    return 1024 * float(gib) if isinstance(gib, int | float) and gib > 0 else None


def _of_frame(frame: pd.DataFrame) -> float | Mapping[str, float]:
    known = frame["device_memory_mib"] if "device_memory_mib" in frame else pd.Series(dtype="float64")
    if known.isna().any() or not len(known):
        raise ValueError("The frame does not say how much memory the device has; give memory_mib, e.g. 16384.")
    if "run" in frame:
        return {str(run): float(memory) for run, memory in zip(frame["run"], known, strict=True)}
    return float(known.iloc[0])


def _memory(curve: Curve, known: float | Mapping[str, float]) -> float:
    if isinstance(known, Mapping):
        run = str(curve.settings.get("run"))
        if run not in known:
            raise ValueError(f"The memory of run {run} is not given; add it, or give one number for all runs.")
        known = known[run]
    if not 0 < known < float("inf"):
        raise ValueError(f"A memory of {known} MiB makes no sense; give what the device has, e.g. 16384.")
    return float(known)


def _row(curve: Curve, memory: float) -> dict[str, Any]:
    law = curve.law
    too_large = [px for px, status in curve.failed.items() if status == Status.out_of_memory]
    row = {
        **curve.settings,
        "memory_mib": memory,
        "largest_ok_px": max(curve.measured, default=None),
        "smallest_out_of_memory_px": min(too_large, default=None),
        "reason": reason(curve, law, 0),
    }
    if law is None:
        return row
    row["fits"] = law.fits
    limits: dict[str, Callable[[int], float]] = {
        "largest_px": lambda px: float(evaluate(law.coefficients, np.asarray([curve.tokens_at(px)]))[0])
    }
    if len(law.sizes) >= PREDICTION_FROM:
        limits |= {
            "largest_low_px": lambda px: _end(law, curve.tokens_at(px), "high"),
            "largest_high_px": lambda px: _end(law, curve.tokens_at(px), "low"),
        }
    for name, memory_at in limits.items():
        # memory rises with the resolution
        px = _overruled(STEP_PX * bisect_right(CANDIDATES, memory, key=memory_at), curve, memory)
        row[name] = px if px < LIMIT_PX else None
    if row["largest_px"] is None:
        row["reason"] = f"by the law {LIMIT_PX} px fit, and no larger size is looked at"
    return row


def _end(law: GrowthLaw, tokens: float, end: str) -> float:
    predicted = law.predict(tokens)
    assert predicted is not None
    return float(getattr(predicted, end))


def _overruled(px: int, curve: Curve, memory: float) -> int:
    """The resolution, not below one measured to fit nor at one measured not to."""
    measured = list(zip(curve.extents, curve.values, strict=True))
    fitting = [extent for extent, value in measured if value <= memory]
    above = [extent for extent, value in measured if value > memory]
    px = min([px, *(int(extent - 1) // STEP_PX * STEP_PX for extent in above)])
    return max([px, *(int(extent) // STEP_PX * STEP_PX for extent in fitting)])
