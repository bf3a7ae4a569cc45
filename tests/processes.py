"""Whether a process that a test looks for still runs."""

import psutil


def is_running(pid: int) -> bool:
    """A process that has ended does not, though whoever started it may not have taken notice (a zombie)."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
