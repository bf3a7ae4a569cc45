"""The kernel time of a record is of one of several kinds, and two kinds do not compare."""

from __future__ import annotations

from enum import StrEnum


class KernelTimeSource(StrEnum):
    """Where `kernel_ms` comes from; two of different sources do not compare."""

    events = "events"
    profile = "profile"
    profile_warm = "profile_warm"
    events_exposed = "events_exposed"


SOURCE = "kernel_time_source"
KERNEL_TIME = ("kernel_ms", "kernel_low_ms", "kernel_high_ms", SOURCE)  # columns that are filled or empty together
KIND = {"kernel_ms": SOURCE}  # metric -> the column that tells values apart which do not compare
