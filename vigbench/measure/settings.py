"""Every ambient switch that could change a number, set explicitly."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import psutil
import torch

from vigbench.measure.control_group import cpu_quota
from vigbench.subjects.task import SEED

_bound: set[int] = set()  # the cores that there were before this process's threads were bound to one each


def usable_cores() -> set[int] | None:
    """Numbers of the logical cores that this process may run on; None where the system does not tell."""
    return _bound or (os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None)


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


def bind_threads(threads: int) -> None:
    """Where there is a thread for every core, give each its own: a scheduler may put two on one, where both wait.

    With fewer threads than cores they stay free to leave a core that somebody else has taken. For a process that ends
    with its case: what it starts from here on runs on the first core.

    Args:
        threads: CPU threads of torch; 0 = `default_threads()`.
    """
    threads = threads or default_threads()
    cores = usable_cores()
    if _bound or not Path("/proc/self/task").is_dir() or cores is None or not 1 < threads == len(cores):
        return
    torch.set_num_threads(threads)
    before = _tasks()
    torch.zeros(2**21).add_(1)  # large enough for all threads: it starts those that do not exist yet
    started = sorted(_tasks() - before)
    _bound.update(cores)
    for task, core in zip([0, *started], sorted(cores), strict=False):  # 0 is the thread that calls
        with suppress(OSError):
            os.sched_setaffinity(task, {core})


def _tasks() -> set[int]:
    return {int(task.name) for task in Path("/proc/self/task").iterdir()}


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
