"""Sliding windows: how many cover a scan."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod


def windows_of(scan: Sequence[int], roi: Sequence[int], overlap: float) -> int:
    """Windows with sides `roi` that MONAI's `sliding_window_inference` covers a scan with.

    Along a side they are a whole number of voxels apart, and the last one ends at the scan's end. A scan smaller than a
    window is padded to one.
    """
    return prod(_along(max(side, window), window, overlap) for side, window in zip(scan, roi, strict=True))


def _along(side: int, window: int, overlap: float) -> int:
    apart = max(1, int(window * (1 - overlap)))
    return 1 + -(-(side - window) // apart)
