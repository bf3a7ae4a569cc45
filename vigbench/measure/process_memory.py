"""Memory of this process as Linux counts it: what torch's allocator does not see, too."""

from __future__ import annotations

import ctypes
import re
import sys
from collections.abc import Callable
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")


def process_peak(call: Callable[[], object]) -> tuple[int | None, int | None]:
    """Resident bytes at the peak of `call`, and its growth since just before; None where Linux's /proc is missing.

    The growth leaves pages of files out: how many of torch's libraries are mapped depends on what the system's page
    cache holds, thus on other processes, and not on what `call` allocates.
    """
    try:
        _trim_heap()  # else memory that malloc kept from the warm-up would hide a growth
        _CLEAR_REFS.write_text("5")  # resets the high-water mark of resident memory
    except OSError:
        return None, None
    before, files_before = status_bytes("VmRSS"), status_bytes("RssFile")
    result = call()
    peak, files_gained = status_bytes("VmHWM"), status_bytes("RssFile") - files_before
    del result
    return peak, max(0, peak - before - files_gained)


def process_peak_source() -> str:
    """Where the process peak comes from on this machine, or why there is none."""
    return "/proc/self/clear_refs" if _CLEAR_REFS.exists() else "not available: needs Linux's /proc"


def status_bytes(field: str) -> int:
    """A size of this process from Linux's /proc/self/status, for example VmRSS, in bytes."""
    match = re.search(rf"^{field}:\s+(\d+) kB", _STATUS.read_text(), re.MULTILINE)
    assert match is not None, f"/proc/self/status has no {field}"
    return int(match[1]) * 1024


def _trim_heap() -> None:
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc only
        if trim is not None:
            trim(0)
