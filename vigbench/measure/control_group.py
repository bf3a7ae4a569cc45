"""What control groups leave to this process: CPU time and memory, as containers and batch systems set them.

Both versions of Linux's control groups are read, and of each the process's own group with all groups around it: what
any of them limits is limited. The cores of a cpuset need no reading: the process's affinity lies within them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

PROC, SYS = Path("/proc"), Path("/sys/fs/cgroup")  # SYS: a container's own group, whatever else can be read
_UNLIMITED = 2**60  # bytes; version 1 writes no limit as the largest multiple of a page
_RECLAIMABLE = {  # counted as used, but given back on demand
    "memory.max": ("inactive_file", "active_file", "slab_reclaimable"),
    "memory.limit_in_bytes": ("total_inactive_file", "total_active_file"),
}
_USED = {"memory.max": "memory.current", "memory.limit_in_bytes": "memory.usage_in_bytes"}


def cpu_quota(proc: Path = PROC, sys: Path = SYS) -> float | None:
    """CPUs' worth of time that this process may use, such as 1.5; None without a limit.

    Args:
        proc, sys: stand in for `/proc` and `/sys/fs/cgroup` in tests.
    """
    return min((share for group in _groups("cpu", proc, sys) if (share := _quota(group))), default=None)


def memory_limit(proc: Path = PROC, sys: Path = SYS) -> int | None:
    """The smallest limit on memory, in bytes; None without one."""
    return min((limit for _, _, limit in _memory_limits(proc, sys)), default=None)


def memory_left(proc: Path = PROC, sys: Path = SYS) -> int | None:
    """Bytes until the first limit, what can be reclaimed not counted as used; None without a limit."""
    return min((max(0, limit - _held(group, name)) for group, name, limit in _memory_limits(proc, sys)), default=None)


def throttled_s(proc: Path = PROC, sys: Path = SYS) -> float:
    """Seconds for which quotas have stopped processes of these groups until now, all their cores together."""
    return sum(map(_stopped_s, _groups("cpu", proc, sys)))


def _quota(group: Path) -> float | None:
    found = _read(group / "cpu.max").split() or [_read(group / f"cpu.cfs_{name}_us") for name in ("quota", "period")]
    if not all(map(str.isdecimal, found)):  # `max`, -1, or no such file
        return None
    quota, period = map(int, found)
    return quota / period


def _memory_limits(proc: Path, sys: Path) -> Iterator[tuple[Path, str, int]]:
    """Each limit in force: its group, the name of its file, bytes."""
    for group in _groups("memory", proc, sys):
        for name in _USED:
            text = _read(group / name)
            if text.isdecimal() and int(text) < _UNLIMITED:
                yield group, name, int(text)


def _held(group: Path, limit: str) -> int:
    counts = _counts(group / "memory.stat")
    return int(_read(group / _USED[limit]) or 0) - sum(counts.get(name, 0) for name in _RECLAIMABLE[limit])


def _stopped_s(group: Path) -> float:
    counts = _counts(group / "cpu.stat")
    return counts.get("throttled_usec", 0) / 1e6 + counts.get("throttled_time", 0) / 1e9  # version 2, version 1


def _groups(controller: str, proc: Path, sys: Path) -> set[Path]:
    """Folders of the group of this process and of those around it, where `controller` may have its files."""
    own = {name: path for line in _read(proc / "self" / "cgroup").splitlines() for name, path in _named(line)}
    found = {sys}
    for line in _read(proc / "self" / "mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        root, point = before.split()[3:5]
        kind, *_, options = after.split()
        if kind == "cgroup2":
            found |= _with_ancestors(Path(point), own.get("", "/"), root)
        elif kind == "cgroup" and controller in options.split(","):
            found |= _with_ancestors(Path(point), own.get(controller, "/"), root)
    return found


def _named(line: str) -> Iterator[tuple[str, str]]:
    """Controller -> path of a line such as `4:cpu,cpuacct:/jobs/7`; version 2, `0::/jobs/7`, names no controller."""
    _, controllers, path = line.split(":", 2)
    for name in controllers.split(","):
        yield name, path


def _with_ancestors(point: Path, path: str, root: str) -> set[Path]:
    """The folders from the mount down to the group; the mount alone where the group is not seen below it."""
    below = Path(path).relative_to(root) if Path(path).is_relative_to(root) else Path()
    folder = point / below
    return {point, folder, *(parent for parent in folder.parents if parent.is_relative_to(point))}


def _counts(file: Path) -> dict[str, int]:
    rows = (line.split() for line in _read(file).splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdecimal()}


def _read(file: Path) -> str:
    """What a file of the kernel's says; empty where there is none, or it may not be read."""
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
