"""What a number depends on beside the code: versions, device, driver, clocks, load, commit. No host or user name."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import torch

from vigbench.measure.control_group import cpu_quota, memory_left, memory_limit
from vigbench.measure.energy import find_meter
from vigbench.measure.nvml import NvmlUnavailableError, find_gpu
from vigbench.measure.settings import default_threads, usable_cores

PACKAGES = (
    "timm",
    "triton",
    "numpy",
    "pandas",
    "monai",
    "dynamic-network-architectures",
    "flash-attn",
    "mamba-ssm",
    "causal-conv1d",
    "flash-linear-attention",
)


def cpu_name() -> str:
    """The processor's marketing name, as far as the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
        match = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
        if match:
            return re.sub(r"\s+", " ", match[1]).strip()
    return platform.processor() or platform.machine()


def device_name(device: str, threads: int = 0) -> str:
    """The device as a report names it, for example `AMD EPYC 9R14 (2 threads)` or `NVIDIA H200`."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    count = threads or default_threads()
    return f"{cpu_name()} ({count} thread{'s' if count > 1 else ''})"


def available_memory() -> int:
    """Bytes that this process may still allocate without swapping, by the machine and by its control groups."""
    available, left = int(psutil.virtual_memory().available), memory_left()
    return available if left is None else min(available, left)


def describe_environment(device: str, threads: int) -> dict[str, Any]:
    """Everything worth knowing about the machine and the software, as JSON-ready values.

    Args:
        device: `cpu` or `cuda`.
        threads: CPU threads asked for, 0 = the default.
    """
    cores, limit = usable_cores(), memory_limit()
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": {
            "name": cpu_name(),
            "physical_cores": psutil.cpu_count(logical=False),
            "logical_cores": psutil.cpu_count(),
            "affinity_cores": None if cores is None else len(cores),
            "quota": cpu_quota(),
            "threads_used": threads or default_threads(),
            "capability": torch.backends.cpu.get_cpu_capability(),
            "load_average_1min": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        },
        "memory_gib": {
            "total": round(psutil.virtual_memory().total / 2**30, 1),
            "available": round(available_memory() / 2**30, 1),
            "limit": None if limit is None else round(limit / 2**30, 1),
        },
        "gpu": describe_gpu(torch.device("cuda", torch.cuda.current_device())) if device == "cuda" else None,
        "energy_source": find_meter(torch.device(device)).source,
        "git_commit": git_commit(),
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def git_commit() -> str | None:
    """Commit of vigbench's own checkout, `-dirty` where tracked files differ; None for an installed package."""
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        return None
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() or None


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
        "hip": torch.version.hip,
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
