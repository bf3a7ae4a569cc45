"""What a process may take, and how long it may live."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

from vigbench.measure.environment import available_memory
from vigbench.measure.memory import MIB, status_bytes

MEMORY_SHARE = 0.95  # of the memory free at the start; the rest keeps the machine alive
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def cap_memory(limit_mib: float | None = None, processes: int = 1) -> None:
    """Make an allocation beyond the free memory fail here, instead of the machine swapping or killing at random.

    Args:
        limit_mib: MiB that this process may take at most; None: what is free.
        processes: that share what is free.
    """
    if sys.platform != "linux":
        return
    import resource

    allowed = int(MEMORY_SHARE * available_memory()) // processes
    if limit_mib is not None:
        allowed = min(allowed, int(limit_mib * MIB))
    limit = status_bytes("VmData") + allowed
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard == resource.RLIM_INFINITY or limit < hard:
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def die_with(parent: int) -> None:
    """Be killed as soon as the process that started this one is gone, however it ended."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it was quicker
        os._exit(1)
