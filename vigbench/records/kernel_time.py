"""Where the kernel time of a record comes from."""

from __future__ import annotations

from enum import StrEnum


class KernelTimeSource(StrEnum):
    """Where `kernel_ms` comes from; two of different sources do not compare."""

    events = "events"
    profile = "profile"
    profile_warm = "profile_warm"
    events_exposed = "events_exposed"
