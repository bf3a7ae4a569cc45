"""What a number depends on beside the code, on a GPU: the chip, its driver, clocks, power and temperature."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from vigbench.measure.nvml import NvmlUnavailableError, find_gpu


def describe_gpu(device: torch.device) -> dict[str, Any]:
    """What torch and NVML know about a GPU, as JSON-ready values.

    Args:
        device: a CUDA device.
    """
    properties = torch.cuda.get_device_properties(device)
    l2_bytes = getattr(properties, "L2_cache_size", None)  # not on every build of torch
    described: dict[str, Any] = {
        "name": properties.name,
        "count": torch.cuda.device_count(),
        "memory_gib": round(properties.total_memory / 2**30, 1),
        "l2_cache_mib": round(l2_bytes / 2**20, 1) if l2_bytes else None,
        "compute_capability": f"{properties.major}.{properties.minor}",
        "multiprocessors": properties.multi_processor_count,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }
    return {**described, **nvml_state(device)}


def nvml_state(device: torch.device, nvml: Any = None) -> dict[str, Any]:
    """Driver, clocks, power and throttling of a GPU now; what is not available says why.

    Args:
        device: a CUDA device.
        nvml: stands in for pynvml in tests.
    """
    try:
        gpu = find_gpu(device, nvml)
    except NvmlUnavailableError as error:
        return {"nvml": f"not available: {error}"}
    queries: dict[str, Callable[[], Any]] = {
        "driver": gpu.driver,
        "sm_clock_mhz": gpu.sm_clock_mhz,
        "max_sm_clock_mhz": gpu.max_sm_clock_mhz,
        "power_limit_w": gpu.power_limit_w,
        "temperature_c": gpu.temperature_c,
        "throttle_reasons": lambda: hex(gpu.throttle_bits()),
    }
    return {name: _answer(query) for name, query in queries.items()}


def _answer(query: Callable[[], Any]) -> Any:
    try:
        return query()
    except NvmlUnavailableError as error:
        return f"not available: {error}"
