"""A fixed workload that takes turns with a case: its duration tells how fast the machine is at this moment."""

from __future__ import annotations

from collections.abc import Callable

import torch

# About 5 ms on two CPU threads and 1 ms on a data-centre GPU: a matrix product, and a pass over memory beyond the L2.
_SIZE = {"cpu": (640, 2**21), "cuda": (4096, 2**25)}


def calibration_workload(device: torch.device) -> Callable[[], object]:
    """One call of the workload, float32, without any code of vigbench's operators or models. Never change it: ratios
    to it are compared between builds."""
    side, elements = _SIZE[device.type]
    generator = torch.Generator().manual_seed(0)
    left = torch.randn(side, side, generator=generator).to(device)
    stream = torch.randn(elements, generator=generator).to(device)
    product, out = torch.empty_like(left), torch.empty_like(stream)

    def call() -> None:
        torch.mm(left, left, out=product)
        torch.mul(stream, 0.5, out=out)

    return call
