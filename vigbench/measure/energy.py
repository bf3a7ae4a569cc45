"""Energy of one image, by a counter of the hardware or not at all: no table of TDPs, no model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from vigbench.measure.nvml import NvmlUnavailableError, find_gpu

# The GPU's counter moves every 20 to 100 ms, so a span is off by at most one such step at either end: 10% of a second.
MIN_ENERGY_S = 1.0

POWERCAP = Path("/sys/class/powercap")


@dataclass(frozen=True)
class Meter:
    """An energy counter, or the reason why there is none.

    Attributes:
        source: what is counted, or `not available: ` and why.
        counter: joules since some moment in the past; None without a source.
    """

    source: str
    counter: Callable[[], float] | None = None

    @property
    def available(self) -> bool:
        """Whether there is a counter."""
        return self.counter is not None

    def read_j(self) -> float | None:
        """Joules since some moment in the past; None without a source, or where it fails."""
        if self.counter is None:
            return None
        try:
            return self.counter()
        except (NvmlUnavailableError, OSError, ValueError):
            return None


@dataclass(frozen=True)
class Energy:
    """Attributes:
    j_per_img: joules per image; None where not measured.
    source: the counter behind it, or why there is none.
    """

    j_per_img: float | None
    source: str


def find_meter(device: torch.device, *, nvml: Any = None, rapl: Path = POWERCAP) -> Meter:
    """The counter of the hardware that does the work: NVML's for a GPU (the whole board), RAPL's for a CPU (packages).

    Args:
        device: where the case runs.
        nvml: stands in for pynvml in tests.
        rapl: stands in for /sys/class/powercap in tests.
    """
    try:
        if device.type == "cuda":
            gpu = find_gpu(device, nvml)
            gpu.energy_j()  # older than Volta, or a MIG slice: NVML answers only now that there is none
            return Meter("NVML: whole board", gpu.energy_j)
        return Meter("RAPL: whole processor packages", open_rapl(rapl))
    except (NvmlUnavailableError, RaplUnavailableError) as error:
        return Meter(f"not available: {error}")


def measure_energy(
    meter: Meter, timed_block: Callable[[], float], images: int, *, min_s: float = MIN_ENERGY_S
) -> Energy:
    """Joules per image over blocks that run back to back for at least `min_s`. Runs nothing without a counter.

    Args:
        meter: from `find_meter`.
        timed_block: runs one block to its end and returns its duration in seconds, as `latency.timed` does.
        images: images in one block.
        min_s: seconds; below that the counter's own steps would show.
    """
    if not meter.available:
        return Energy(None, meter.source)
    before, begin, blocks = meter.read_j(), perf_counter(), 0
    while perf_counter() - begin < min_s:
        timed_block()
        blocks += 1
    after = meter.read_j()
    if before is None or after is None or after <= before:  # zero joules would be a lie
        return Energy(None, f"not available: the counter ({meter.source}) did not move in {min_s:g} s")
    return Energy((after - before) / (blocks * images), meter.source)


class RaplUnavailableError(RuntimeError):
    """There is no counter of the processor's packages that an ordinary user may read; str() says why."""


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
