"""The one place that talks to NVML: numbers of the GPU that torch uses, or why there are none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

# Bits of nvml.h, the same in every driver. 0x1 (idle) says nothing about a measurement and is left out.
THROTTLE_REASONS = {
    0x002: "applications_clocks",
    0x004: "sw_power_cap",
    0x008: "hw_slowdown",
    0x010: "sync_boost",
    0x020: "sw_thermal",
    0x040: "hw_thermal",
    0x080: "hw_power_brake",
    0x100: "display_clock",
}
_CLOCK_SM, _TEMPERATURE_GPU = 1, 0  # NVML_CLOCK_SM, NVML_TEMPERATURE_GPU


class NvmlUnavailableError(RuntimeError):
    """NVML, or one number of it, is not available here; str() says why."""


@dataclass(frozen=True)
class Gpu:
    """One GPU through NVML. Every method raises NvmlUnavailableError where this GPU or driver has no such number.

    Attributes:
        nvml: the pynvml module, or a stand-in with the same functions and `NVMLError`.
        handle: NVML's handle of the device.
    """

    nvml: Any
    handle: Any

    def energy_j(self) -> float:
        """Joules of the whole board since the driver was loaded; moves every 20 to 100 ms."""
        return float(self._ask("nvmlDeviceGetTotalEnergyConsumption")) / 1e3

    def power_w(self) -> float:
        """Watts of the whole board; from Ampere on (except GA100) the driver's mean of the last second."""
        return float(self._ask("nvmlDeviceGetPowerUsage")) / 1e3

    def power_limit_w(self) -> float:
        """Watts at which the driver caps the board."""
        return float(self._ask("nvmlDeviceGetEnforcedPowerLimit")) / 1e3

    def sm_clock_mhz(self) -> float:
        """Clock of the multiprocessors at this moment."""
        return float(self._ask("nvmlDeviceGetClockInfo", _CLOCK_SM))

    def max_sm_clock_mhz(self) -> float:
        """The highest clock that the multiprocessors can have."""
        return float(self._ask("nvmlDeviceGetMaxClockInfo", _CLOCK_SM))

    def temperature_c(self) -> float:
        """Temperature of the GPU's die."""
        return float(self._ask("nvmlDeviceGetTemperature", _TEMPERATURE_GPU))

    def throttle_bits(self) -> int:
        """Why the clocks are below their highest, as bits of `THROTTLE_REASONS`."""
        return int(self._ask("nvmlDeviceGetCurrentClocksThrottleReasons"))

    def compute_processes(self) -> int:
        """Processes with a compute context on this GPU, this one included."""
        return len(self._ask("nvmlDeviceGetComputeRunningProcesses"))

    def driver(self) -> str:
        """Version of the driver."""
        return str(self._call("nvmlSystemGetDriverVersion"))

    def _ask(self, function: str, *arguments: Any) -> Any:
        return self._call(function, self.handle, *arguments)

    def _call(self, function: str, *arguments: Any) -> Any:
        return _checked(self.nvml, function, *arguments)


def find_gpu(device: torch.device, nvml: Any = None) -> Gpu:
    """The GPU behind torch's `device`, found by its UUID: CUDA_VISIBLE_DEVICES and CUDA's order may renumber devices.

    NVML stays initialised until the process ends; initialising it again costs nothing.

    Raises:
        NvmlUnavailableError: if `device` is no NVIDIA GPU, or NVML is missing or does not know it.
    """
    if device.type != "cuda":
        raise NvmlUnavailableError(f"the device is {device.type}, and NVML knows NVIDIA GPUs only")
    if torch.version.hip:
        raise NvmlUnavailableError("this is an AMD GPU, and NVML knows NVIDIA GPUs only")
    if nvml is None:
        try:
            import pynvml
        except ImportError as error:
            raise NvmlUnavailableError("nvidia-ml-py is not installed: pip install nvidia-ml-py") from error
        nvml = pynvml
    _checked(nvml, "nvmlInit")
    uuid = str(torch.cuda.get_device_properties(device).uuid)
    try:
        return Gpu(nvml, _checked(nvml, "nvmlDeviceGetHandleByUUID", f"GPU-{uuid}"))
    except NvmlUnavailableError:  # a slice of a GPU has a UUID of its own
        return Gpu(nvml, _checked(nvml, "nvmlDeviceGetHandleByUUID", f"MIG-{uuid}"))


def throttle_names(bits: int) -> tuple[str, ...]:
    """The names of the bits that are set, in the order of `THROTTLE_REASONS`."""
    return tuple(name for bit, name in THROTTLE_REASONS.items() if bits & bit)


def _checked(nvml: Any, function: str, *arguments: Any) -> Any:
    ask: Callable[..., Any] | None = getattr(nvml, function, None)
    if ask is None:  # NVML renames functions over the years
        raise NvmlUnavailableError(f"this pynvml has no {function}")
    try:
        return ask(*arguments)
    except nvml.NVMLError as error:
        raise NvmlUnavailableError(f"{function}: {error}") from error
