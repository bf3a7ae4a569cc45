"""The energy counters of the processor's packages (RAPL), where the system lets an ordinary user read them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")


class RaplUnavailableError(RuntimeError):
    """There is no readable RAPL counter; str() says why."""


def open_rapl(root: Path = POWERCAP) -> Callable[[], float]:
    """A function that returns the joules of all packages since this call. AMD's counters have the same path.

    Whole packages only: their cores, memory and graphics parts lie inside them, and the platform's (psys) around them.
    Read it at least once between two wraps of a counter, many minutes apart at any load.

    Raises:
        RaplUnavailableError: if there is no counter, or it may not be read.
    """
    folders = sorted(root.glob("intel-rapl:*"))
    try:
        packages = [_Counter(folder) for folder in folders if (folder / "name").read_text().startswith("package")]
    except PermissionError as error:
        raise RaplUnavailableError(f"{error.filename} is not readable (root only since Linux 5.10)") from error
    except (OSError, ValueError) as error:
        raise RaplUnavailableError(f"the counters below {root} do not answer: {error}") from error
    if not packages:
        raise RaplUnavailableError(f"no package below {root}/intel-rapl:* (virtual machines rarely have one)")
    return lambda: _total_j(packages)


class _Counter:
    """One counter, made monotonic: it counts microjoules and wraps at `max_energy_range_uj`."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "energy_uj"
        self._range = int((folder / "max_energy_range_uj").read_text())
        self._last = int(self._file.read_text())
        self._total = 0

    def total_uj(self) -> int:
        value = int(self._file.read_text())
        step = value - self._last
        self._total += step if step >= 0 else step + self._range
        self._last = value
        return self._total


def _total_j(counters: Sequence[_Counter]) -> float:
    return sum(counter.total_uj() for counter in counters) / 1e6
