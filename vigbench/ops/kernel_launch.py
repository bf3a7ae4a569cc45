"""Starting a Triton kernel, the same way for every operator: explicit options, on the tensors' device."""

from typing import Any

import torch

# Fused multiply-adds: Triton's default differs by version. All registers: ptxas else spills some for occupancy.
OPTIONS = {"enable_fp_fusion": True, "maxnreg": 255}


def launch_kernel(
    kernel: Any,
    grid: tuple[int, int, int],
    device: torch.device,
    args: tuple[Any, ...],
    constants: dict[str, Any],
    warps: int,
    stages: int,
) -> None:
    """Compile if need be, and start."""
    with torch.cuda.device(device if device.type == "cuda" else -1):
        kernel[grid](*args, **constants, num_warps=warps, num_stages=stages, **OPTIONS)
