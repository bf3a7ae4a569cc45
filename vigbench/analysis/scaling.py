"""How a metric grows along each curve: its law, its exponent, the next size. Over N tokens, t(N) = a + b N + c N^2."""

from __future__ import annotations

from typing import Any

import pandas as pd

from vigbench.analysis.curves import Curve, curves_of, extents_text, keys_of
from vigbench.stats.growth_law import (
    LAW_FROM,
    LEAST_SPAN,
    PREDICTION_FROM,
    Bounded,
    GrowthLaw,
    exponent_between,
)

RESOLUTIONS = (224, 384, 512, 768, 1024, 1536, 2048, 3072, 4096)
LENGTH_STEP = 4
TERMS = ("constant", "linear", "quadratic")
UNITS = ("", "_per_token", "_per_token2")


def fit_scaling(frame: pd.DataFrame, metric: str = "latency_ms") -> pd.DataFrame:
    """Fit the growth of each curve: one subject, one implementation, everything else the same.

    N counts tokens: for a model the patches of 16 px in its square input, (resolution / 16)^2, or ^3 of a volume,
    whatever its own patch, so that subjects compare; for an operator the length.

    Args:
        frame: of `load_results`; curves of different runs stay apart.
        metric: latency_ms, kernel_ms, peak_memory_mib or activation_memory_mib.

    Returns:
        One row for each curve: `run` (where the frame has it) and the settings without resolution and length (of
        kernel_ms its source, too); `metric`; `over`: resolution or length; `points`; `largest`: of those, px or tokens;
        `disturbed`: sizes that are left out since their value carries no conclusion, `;`-separated;
        `constant_ms`, `linear_ms_per_token` and `quadratic_ms_per_token2` (memory: mib), each with `_low` and `_high`
        before its unit; `exponent`: of the law at the largest size; `exponent_between`: between the two largest sizes,
        by no law; both with `_low` and `_high`; `fits`: whether the errors of the points explain the residuals;
        `largest_residual`: as a share; `next`: the next resolution or length; `predicted` there in the metric's unit,
        with a 95% prediction interval; `reason`: what is empty or uncertain, and why. Intervals are 95%; see
        docs/measurement.md.

    Raises:
        ValueError: if the metric has no law, the frame lacks columns, or holds a case more than once.
    """
    curves = curves_of(frame, metric)
    unit = metric.rpartition("_")[2]
    rows = [_row(curve, metric, unit) for curve in curves]
    return pd.DataFrame(rows, columns=[*keys_of(frame, metric), *_columns(unit)])


def next_extent(curve: Curve) -> int | None:
    """The resolution or length after the largest measured one; None without a value or at the ladder's end."""
    if not curve.extents:
        return None
    if curve.over == "length":
        return LENGTH_STEP * int(curve.extents[-1])
    return next((px for px in RESOLUTIONS if px > curve.extents[-1]), None)


def coefficient_columns(unit: str) -> list[tuple[str, str, str]]:
    """Names of each coefficient and of the ends of its interval, as in `linear_low_ms_per_token`."""
    return [
        (f"{term}_{unit}{per}", f"{term}_low_{unit}{per}", f"{term}_high_{unit}{per}")
        for term, per in zip(TERMS, UNITS, strict=True)
    ]


def _columns(unit: str) -> list[str]:
    ends = [f"{name}{end}" for name in ("exponent", "exponent_between") for end in ("", "_low", "_high")]
    coefficients = [name for names in coefficient_columns(unit) for name in names]
    return [
        "metric", "over", "points", "largest", "disturbed", *coefficients, *ends, "fits", "largest_residual",
        "next", "predicted", "predicted_low", "predicted_high", "reason",
    ]  # fmt: skip


def _row(curve: Curve, metric: str, unit: str) -> dict[str, Any]:
    law, following = curve.law, next_extent(curve)
    row: dict[str, Any] = {
        **curve.settings,
        "metric": metric,
        "over": curve.over,
        "points": len(curve.extents),
        "largest": curve.extents[-1] if curve.extents else None,
        "disturbed": extents_text(curve.disturbed),
        **_bounded("exponent_between", exponent_between(*curve.points)),
    }
    if law is not None:
        for term, names in enumerate(coefficient_columns(unit)):
            row |= dict(zip(names, law.coefficient(term), strict=True))
        row |= _bounded("exponent", law.exponent(curve.tokens[-1]))
        row |= {"fits": law.fits, "largest_residual": law.largest_residual, "next": following}
        if following is not None:
            row |= _bounded("predicted", law.predict(curve.tokens_at(following)))
    return {**row, "reason": reason(curve, law, following)}


def _bounded(name: str, value: Bounded | None) -> dict[str, float]:
    return {} if value is None else {name: value.value, f"{name}_low": value.low, f"{name}_high": value.high}


def reason(curve: Curve, law: GrowthLaw | None, following: int | None) -> str:
    """What is not known of a curve, or not certain; empty where nothing is to be said."""
    parts = [_reason(curve, law, following)]
    if curve.disturbed:
        parts.append(f"{len(curve.disturbed)} of {len(curve.measured)} sizes left out as disturbed")
    return "; ".join(filter(None, parts))


def _reason(curve: Curve, law: GrowthLaw | None, following: int | None) -> str:
    count = len(curve.extents)
    if count < LAW_FROM:
        has = f"no {'undisturbed ' * bool(curve.disturbed)}value" if not count else f"{count} size{'s' * (count > 1)}"
        return f"{has}: a law needs {LAW_FROM}, a prediction {PREDICTION_FROM}"
    if law is None:
        return f"all sizes lie within a factor of {LEAST_SPAN} in tokens: they show no growth"
    if count < PREDICTION_FROM:
        return f"{count} sizes: a prediction needs {PREDICTION_FROM}"
    parts = []
    if law.fits is False:
        parts.append(f"the law misses a point by {law.largest_residual:.0%}, more than noise explains")
    if following is None:
        parts.append(f"no resolution above {RESOLUTIONS[-1]} px is predicted")
    return "; ".join(parts)
