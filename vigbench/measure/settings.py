"""Every ambient switch that could change a number, set explicitly."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import torch

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
SEED = 0


def default_threads() -> int:
    """Physical cores that this process may use: a second hardware thread a core slows matrix products down."""
    logical = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    physical = psutil.cpu_count(logical=False) or logical
    hardware_threads = max(1, (psutil.cpu_count() or logical) // physical)
    return max(1, min(physical, logical // hardware_threads))


def apply_settings(*, threads: int, tf32: bool) -> int:
    """Fix threads, TF32, cuDNN and seeds of this process; returns the number of CPU threads.

    Args:
        threads: CPU threads of torch; 0 = `default_threads()`.
        tf32: whether float32 matrix products and convolutions may use TF32 on CUDA.
    """
    chosen = threads or default_threads()
    torch.set_num_threads(chosen)
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = False  # autotuning would pick other kernels from run to run
    torch.backends.cudnn.deterministic = False
    torch.set_flush_denormal(False)
    torch.manual_seed(SEED)
    return chosen


@contextmanager
def full_float32() -> Iterator[None]:
    """No TF32 inside, whatever the case has: for a reference."""
    products, convolutions = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(products)
        torch.backends.cudnn.allow_tf32 = convolutions
