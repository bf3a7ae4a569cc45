"""How small a difference can this machine tell? Read from a measurement of one thing against itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from vigbench.runner.duel import Pair
from vigbench.stats.hierarchical import Estimate
from vigbench.stats.verdict import DEFAULT_MARGIN, FAMILY_ERROR
from vigbench.suites.case import Case
from vigbench.worker.describe import choose_device

POWER = 0.9  # probability with which a difference of the size that is reported would be found


def case_for_noise(threads: int) -> Case:
    """A small real model on the device that `auto` means."""
    device = choose_device("auto")
    return Case(subject="resnet18", resolution=128, device=device, threads=threads if device == "cpu" else 0)


def smallest_difference(log_ratio: Estimate, power: float = POWER, error: float = FAMILY_ERROR) -> float:
    """Smallest true difference, as a share, that a duel of this spread finds significantly different from 0.

    (t(1 - error/2) + t(power)) standard errors, the usual power calculation (Cohen 1988, section 2).

    Args:
        log_ratio: of an A/A duel.
        power: probability of finding it.
        error: probability of finding one that is not there.
    """
    from scipy.special import stdtrit

    degrees = min(log_ratio.degrees, 1e6)
    quantiles = stdtrit(degrees, 1 - error / 2) + stdtrit(degrees, power)
    return math.expm1(float(quantiles) * log_ratio.standard_error)


def noise_report(pairs: Sequence[Pair], log_ratio: Estimate) -> list[str]:
    """What the A/A duel says, for a person; the true ratio is 1."""
    low, high = (math.exp(end) for end in log_ratio.interval())
    smallest = smallest_difference(log_ratio)
    alone = [median(call for block in side for call in block) for pair in pairs for side in (pair.base, pair.head)]
    spread = max(alone) / min(alone) - 1
    honest = "" if low <= 1 <= high else " (1 lies outside: one time in twenty that is chance; else run this again)"
    return [
        f"Ratio of equal things: {math.exp(log_ratio.value):.3f}, 95% interval {low:.3f} to {high:.3f}{honest}.",
        f"Interleaved, this machine resolves a difference of {smallest:.1%} (found {POWER:.0%} of the time).",
        f"With the default margin of {DEFAULT_MARGIN:.0%} on top, a duel calls SLOWER what is about "
        f"{(1 + DEFAULT_MARGIN) * (1 + smallest) - 1:.1%} slower or more.",
        f"Not interleaved, medians of single processes were up to {spread:.1%} apart: do not compare those.",
    ]
