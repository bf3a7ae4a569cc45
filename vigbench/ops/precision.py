"""The precisions that operators take, and those that they sum in."""

import torch
from torch import Tensor

HALF = (torch.float16, torch.bfloat16)
DTYPES = (torch.float64, torch.float32, *HALF)


def accumulation_dtype(dtype: torch.dtype) -> torch.dtype:
    """What a reference sums in: float32 for half precision, else float64."""
    return torch.float32 if dtype in HALF else torch.float64


def refuse_float64(x: Tensor, instead: str) -> None:
    """ValueError for float64, in which no Triton kernel sums; `instead` says what to do."""
    if x.dtype == torch.float64:
        raise ValueError(f"Triton kernels sum in float32: pass float32 or half precision, or {instead}")
