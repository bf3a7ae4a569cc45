"""The GPU's clocks, power, temperature and throttling while a case is timed, read between its blocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch

from vigbench.measure.nvml import Gpu, NvmlUnavailableError, find_gpu, throttle_names

# Reasons that mean slower than this GPU can be; the others are settings that hold all the time.
SLOWDOWNS = frozenset({"sw_power_cap", "hw_slowdown", "sw_thermal", "hw_thermal", "hw_power_brake"})


@dataclass(frozen=True)
class DeviceState:
    """What the GPU was like while timing; None where it was not read.

    Attributes:
        power_w: median.
        sm_clock_mhz: median.
        temperature_c: highest.
        throttle_reasons: every reason seen, `;`-separated; empty text where none was.
    """

    power_w: float | None = None
    sm_clock_mhz: float | None = None
    temperature_c: float | None = None
    throttle_reasons: str | None = None

    @property
    def throttled(self) -> bool:
        """Whether the GPU was ever slowed down for power or heat."""
        return not SLOWDOWNS.isdisjoint((self.throttle_reasons or "").split(";"))


class StateRecorder:
    """Reads the state of one GPU. Without a source every method returns at once.

    Attributes:
        reason: why nothing is recorded; empty where something is.
    """

    def __init__(self, device: torch.device, nvml: Any = None) -> None:
        """Open NVML for `device`; `nvml` stands in for pynvml in tests."""
        self.reason = ""
        self._gpu: Gpu | None = None
        self._sources: dict[str, Callable[[], float]] = {}
        self._series: dict[str, list[float]] = {}
        try:
            gpu = find_gpu(device, nvml)
        except NvmlUnavailableError as error:
            self.reason = f"not available: {error}"
            return
        self._gpu = gpu
        self._sources = {
            "sm_clock_mhz": gpu.sm_clock_mhz,
            "power_w": gpu.power_w,
            "temperature_c": gpu.temperature_c,
            "throttle_bits": gpu.throttle_bits,
        }

    @property
    def available(self) -> bool:
        """Whether there is anything to read."""
        return bool(self._sources)

    def read(self) -> None:
        """Read everything once, in about a millisecond. Call it between blocks, never inside a timed region."""
        for name, ask in list(self._sources.items()):
            try:
                value = ask()
            except NvmlUnavailableError as error:
                del self._sources[name]  # it will not come back: do not pay for it again
                if not self._sources:
                    self.reason = f"not available: {error}"
                continue
            self._series.setdefault(name, []).append(value)

    def summary(self) -> DeviceState:
        """All readings so far as one line."""
        middle = {name: median(values) for name, values in self._series.items()}
        bits = 0
        for sample in self._series.get("throttle_bits", ()):
            bits |= int(sample)
        return DeviceState(
            power_w=middle.get("power_w"),
            sm_clock_mhz=middle.get("sm_clock_mhz"),
            temperature_c=max(self._series["temperature_c"]) if "temperature_c" in self._series else None,
            throttle_reasons=";".join(throttle_names(bits)) if "throttle_bits" in self._series else None,
        )

    def series(self) -> dict[str, tuple[float, ...]]:
        """Every reading by name, one value for each block: `sm_clock_mhz`, `power_w`, `temperature_c`."""
        return {name: tuple(values) for name, values in self._series.items() if name != "throttle_bits"}

    def other_processes(self) -> int | None:
        """Other processes with a context on this GPU; None where unknown.

        Inside a container NVML reports process numbers of the host, so this process cannot be told by its number: it
        has a context, so one of the entries is its own. Without any entry NVML does not see processes here.
        """
        if self._gpu is None:
            return None
        try:
            count = self._gpu.compute_processes()
        except NvmlUnavailableError:
            return None
        return count - 1 if count else None
