"""Every ambient switch that could change a number, set explicitly."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import psutil
import torch

from vigbench.measure.control_group import cpu_quota
from vigbench.subjects.task import SEED


def usable_cores() -> set[int] | None:
    """Numbers of the logical cores that this process may run on; None where the system does not tell."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None


def usable_cpus() -> int:
    """Logical cores that this process may use, as far as a control group's quota goes; at least 1."""
    cores = len(usable_cores() or ()) or os.cpu_count() or 1
    return max(1, min(cores, int(cpu_quota() or cores)))


def default_threads() -> int:
    """Physical cores that this process may use, as far as a control group's quota goes.

    A second hardware thread a core slows matrix products down, and a thread beyond the quota makes the kernel stop all.
    """
    logical = len(usable_cores() or ()) or os.cpu_count() or 1
    physical = psutil.cpu_count(logical=False) or logical
    hardware_threads = max(1, (psutil.cpu_count() or logical) // physical)
    return max(1, min(physical, logical // hardware_threads, usable_cpus()))


def apply_settings(*, threads: int, tf32: bool) -> int:
    """Fix threads, TF32, cuDNN and seeds of this process; returns the number of CPU threads.

    Args:
        threads: CPU threads of torch; 0 = `default_threads()`.
        tf32: whether float32 matrix products and convolutions may use TF32 on CUDA.
    """
    chosen = threads or default_threads()
    torch.set_num_threads(chosen)
    _set_tf32("high" if tf32 else "highest", tf32)
    torch.backends.cudnn.benchmark = False  # autotuning would pick other kernels from run to run
    torch.backends.cudnn.deterministic = False
    torch.set_flush_denormal(False)
    torch.manual_seed(SEED)
    return chosen


@contextmanager
def tf32_allowed(allowed: bool) -> Iterator[None]:
    """TF32 in products and convolutions of float32 inside, or none, whatever the case has."""
    with _without_notice():
        before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    _set_tf32("high" if allowed else "highest", allowed)
    try:
        yield
    finally:
        _set_tf32(*before)


def full_float32() -> AbstractContextManager[None]:
    """No TF32 inside: for a reference."""
    return tf32_allowed(False)


def _set_tf32(products: str, convolutions: bool) -> None:
    with _without_notice():
        torch.set_float32_matmul_precision(products)
        torch.backends.cudnn.allow_tf32 = convolutions


@contextmanager
def _without_notice() -> Iterator[None]:
    """torch 2.9 announces another interface for TF32, which earlier settings do not mix with."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Please use the new API settings to control TF32", UserWarning)
        yield
