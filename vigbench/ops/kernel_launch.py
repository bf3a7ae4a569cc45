"""Starting a Triton kernel, the same way for every operator: explicit options, on the tensors' device."""

from typing import Any

import torch
from torch import Tensor

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


def in_place(x: Tensor) -> tuple[Tensor, list[int]]:
    """`x` and its strides but that of its channels, which is 1: as it is, unless its channels do not lie side by side.

    Strides of dimensions of one element are never used, and 0 here. ValueError where only dimensions of one channel
    are left to be copied: Triton up to 3.6 takes no other stride of 1, for an integer of 1 inside a tuple fails.
    """
    *outer, last = _strides(x)
    if last != 1 or 1 in outer:
        x = x.contiguous()
        *outer, last = _strides(x)
    if 1 in outer:
        raise ValueError(f"a tensor is {tuple(x.shape)}, but Triton kernels take 2 channels or more: use torch_chunk")
    return x, outer


def _strides(x: Tensor) -> list[int]:
    *outer, last = x.stride()
    return [*(stride if size > 1 else 0 for stride, size in zip(outer, x.shape[:-1], strict=True)), last]
