"""What other processes did to this measurement: their load before it, and a fixed workload's rate around it."""

from __future__ import annotations

from time import perf_counter

import psutil
import torch

CONTENDED_DROP = 0.10  # of the fixed workload's rate, from before to after the timing
CONTENDED_LOAD = 0.20  # of the machine's CPU, used by others just before it
_SIZE = {"cpu": 512, "cuda": 4096}
_REPEATS = 5


def load_of_others(interval_s: float = 0.1) -> float:
    """Share of the machine's CPU time, 0 to 1, that others use while this process sleeps for `interval_s`."""
    return psutil.cpu_percent(interval=interval_s) / 100


def workload_rate(device: torch.device) -> float:
    """Rate of a fixed float32 matrix product on `device`, calls per second, the best of a few."""
    size = _SIZE[device.type]
    left = torch.ones(size, size, device=device)
    return 1 / min(_time_once(left) for _ in range(_REPEATS + 1))


def _time_once(matrix: torch.Tensor) -> float:
    begin = perf_counter()
    matrix @ matrix
    if matrix.device.type == "cuda":
        torch.cuda.synchronize()
    return perf_counter() - begin
