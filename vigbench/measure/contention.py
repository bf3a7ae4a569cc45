"""What the machine was like beside a measurement: the load of others, and how fast fixed workloads ran around it."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import psutil
import torch

from vigbench.measure.control_group import throttled_s
from vigbench.measure.settings import usable_cores

CONTENDED_DROP = 0.10  # of the fixed workload's rate, from before to after the timing; or of the threads' time
CONTENDED_LOAD = 0.20  # of the cores that we may use, used by others just before it
_PRODUCT_SIDE = {"cpu": 512, "cuda": 4096}
_REPEATS = 5

# About 5 ms on two CPU threads and 1 ms on a data-centre GPU: a matrix product, and a pass over memory beyond the L2.
_CALIBRATION_SIZE = {"cpu": (640, 2**21), "cuda": (4096, 2**25)}


def load_of_others(interval_s: float = 0.1) -> float:
    """Share of the time of the cores that we may use, 0 to 1, that others take while this process sleeps."""
    loads = psutil.cpu_percent(interval=interval_s, percpu=True)
    ours = usable_cores() or set()
    seen = [load for core, load in enumerate(loads) if core in ours]
    # all cores, where they are numbered otherwise: some are offline, or a container hides them
    counted = seen if len(seen) == len(ours) > 0 else loads
    return sum(counted) / len(counted) / 100


class Throttling:
    """How much of the time since it was made a control group's quota has stopped this process."""

    def __init__(self, threads: int) -> None:
        self._threads, self._begin, self._stopped_s = threads, perf_counter(), throttled_s()

    def share(self) -> float:
        """Of each thread's time, 0 to 1."""
        elapsed = perf_counter() - self._begin
        return min(1.0, (throttled_s() - self._stopped_s) / (elapsed * self._threads))


def workload_rate(device: torch.device) -> float:
    """Rate of a fixed float32 matrix product on `device`, calls per second, the best of a few."""
    size = _PRODUCT_SIDE[device.type]
    left = torch.ones(size, size, device=device)
    return 1 / min(_time_once(left) for _ in range(_REPEATS + 1))


def _time_once(matrix: torch.Tensor) -> float:
    begin = perf_counter()
    matrix @ matrix
    if matrix.device.type == "cuda":
        torch.cuda.synchronize()
    return perf_counter() - begin


def calibration_workload(device: torch.device) -> Callable[[], object]:
    """One call of a fixed workload that takes turns with a case: its duration tells how fast the machine is then.

    In float32, without any code of vigbench's operators or models. Never change it: ratios to it are compared
    between builds.
    """
    side, elements = _CALIBRATION_SIZE[device.type]
    generator = torch.Generator().manual_seed(0)
    left = torch.randn(side, side, generator=generator).to(device)
    stream = torch.randn(elements, generator=generator).to(device)
    product, out = torch.empty_like(left), torch.empty_like(stream)

    def call() -> None:
        torch.mm(left, left, out=product)
        torch.mul(stream, 0.5, out=out)

    return call
