"""What this device reaches at best: a large copy for memory, a large matrix product for arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import torch

from vigbench.measure.latency import timed

COPY_BYTES = {"cpu": 2**28, "cuda": 2**31}  # of source and target each: far beyond any cache
PRODUCT_SIDE = {"cpu": 1536, "cuda": 8192}
LEAST_CALLS, LEAST_S, MOST_S = 3, 0.5, 5.0


def copy_gb_per_s(device: torch.device) -> float:
    """10^9 bytes read and written per second by a copy from memory to memory of one device."""
    source = torch.ones(COPY_BYTES[device.type], dtype=torch.uint8, device=device)
    target = torch.zeros_like(source)
    return 2 * source.numel() / _shortest(lambda: target.copy_(source), device) / 1e9


def product_tflop_per_s(device: torch.device, dtype: torch.dtype) -> float:
    """10^12 floating-point operations per second of a square matrix product, 2 for each multiply-add.

    Args:
        device: cpu or cuda.
        dtype: of both factors; float32 takes TF32 where the process allows it.
    """
    side = PRODUCT_SIDE[device.type]
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(side, side, generator=generator).to(device, dtype) for _ in range(2))
    product = torch.empty_like(left)
    return 2 * side**3 / _shortest(lambda: torch.mm(left, right, out=product), device) / 1e12


def _shortest(call: Callable[[], object], device: torch.device) -> float:
    """Seconds of the fastest call: what disturbs a call does not belong to the device."""
    timed_call = timed(call, torch.cuda.synchronize if device.type == "cuda" else lambda: None)
    timed_call()
    durations: list[float] = []
    begin = perf_counter()
    while len(durations) < LEAST_CALLS or perf_counter() - begin < LEAST_S:
        durations.append(timed_call())
        if perf_counter() - begin > MOST_S:
            break
    return min(durations)
