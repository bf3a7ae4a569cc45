"""Starting a Triton kernel, the same way for every operator: explicit options, on the tensors' device."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from triton.compiler.errors import CompilationError
from triton.runtime.errors import OutOfResources, PTXASError

from vigbench.ops.registry import UnsupportedError

# Fused multiply-adds: Triton's default differs by version. All registers: ptxas else spills some for occupancy.
OPTIONS: dict[str, dict[str, Any]] = {
    "cuda": {"enable_fp_fusion": True, "maxnreg": 255},
    "hip": {"enable_fp_fusion": True},
}


class Launch(NamedTuple):
    """What `launch_kernel` was asked for."""

    kernel: Any
    grid: tuple[int, int, int]
    args: tuple[Any, ...]
    constants: dict[str, Any]
    warps: int
    stages: int


class _Recording(threading.local):
    launches: list[Launch] | None = None


_recording = _Recording()


def launch_kernel(
    kernel: Any,
    grid: tuple[int, int, int],
    device: torch.device,
    args: tuple[Any, ...],
    constants: dict[str, Any],
    warps: int,
    stages: int,
) -> Any:
    """Compile if need be, and start; returns Triton's compiled kernel (None from its interpreter).

    Raises:
        UnsupportedError: if this device cannot be compiled for, or has too little of what the kernel takes.
    """
    if _recording.launches is not None:
        _recording.launches.append(Launch(kernel, grid, args, constants, warps, stages))
        return None
    options = OPTIONS["hip" if torch.version.hip else "cuda"]
    try:
        with torch.cuda.device(device if device.type == "cuda" else -1):
            return kernel[grid](*args, **constants, num_warps=warps, num_stages=stages, **options)
    except (CompilationError, OutOfResources, PTXASError) as error:
        raise UnsupportedError(
            f"Triton's kernel {kernel.fn.__name__} cannot run on this device ({_first_line(error)}). Choose another "
            "implementation; `vigbench list implementations` names them."
        ) from error


def _first_line(error: Exception) -> str:
    said = str(getattr(error, "error_message", None) or error)  # without the lines of the kernel's source
    return next(iter(said.strip().splitlines()), type(error).__name__).rstrip(". ")


@contextmanager
def recorded_launches() -> Iterator[list[Launch]]:
    """Inside, this thread's launches are noted instead of started."""
    assert _recording.launches is None, "recordings do not nest"
    launches: list[Launch] = []
    _recording.launches = launches
    try:
        yield launches
    finally:
        _recording.launches = None


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
