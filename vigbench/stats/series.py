"""Samples as a series in time order: how much they are worth together, and whether their level moves.

In plain numpy: these run inside a worker between two calls, where importing scipy would take half a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import numpy as np

MOST_CORRELATION = 0.97  # of neighbours; beyond it a sample of a few hundred says next to nothing


def effective_size(samples: Sequence[float]) -> float:
    """How many independent samples these are worth, 1 to n.

    n (1 - rho) / (1 + rho), the size of a first-order autoregressive series (Priestley, Spectral Analysis and Time
    Series, section 5.3.2). rho is the correlation of neighbours' ranks, so that heavy tails cannot hide it, raised by
    its bias in short series (Marriott and Pope, Biometrika 41, 1954) and a standard error's worth of caution.
    """
    n = len(samples)
    if n < 6:
        return 1.0
    _, place, counts = np.unique(np.asarray(samples), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]  # equal samples share their mean rank
    ranks -= ranks.mean()
    total = float(ranks @ ranks)
    if total == 0:
        return float(n)  # all equal: the clock is coarser than the spread
    lag_one = float(ranks[:-1] @ ranks[1:]) / total
    rho = min(MOST_CORRELATION, max(0.0, (n * lag_one + 2) / (n - 4)))
    return n * (1 - rho) / (1 + rho)


def trend(samples: Sequence[float]) -> float:
    """Kendall's tau (a) of the samples against their order: -1 falling throughout, 1 rising, about 0 without a trend.

    The share of pairs in rising order minus that in falling order.
    """
    values = np.asarray(samples)
    n = len(values)
    rising = np.sign(values[None, :] - values[:, None])  # (earlier, later)
    return float(np.triu(rising, 1).sum()) / (n * (n - 1) / 2) if n > 1 else 0.0


def level_change(samples: Sequence[float]) -> float:
    """Median of the last third over that of the first, minus 1; 0 with fewer than 6 samples."""
    third = len(samples) // 3
    if third < 2:
        return 0.0
    first, last = median(samples[:third]), median(samples[-third:])
    return last / first - 1 if first > 0 else 0.0
