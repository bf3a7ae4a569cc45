"""The peer: the Triton kernels of flash-bidirectional-linear-attention (package flash_bla)."""

import torch
from torch import Tensor

from vigbench.ops.linear_attention.operator import EPS
from vigbench.ops.linear_attention.torch_matmul import torch_matmul
from vigbench.ops.registry import UnsupportedError

SMALLEST_HEAD = 16  # a side of the smallest product


def flash_bla(q: Tensor, k: Tensor, v: Tensor, scale: float, normalised: bool) -> Tensor:
    """Its `linear_attention`, or without the norm `simple_la`, which take heads before tokens; autograd is its own.

    On the meta device, where costs are counted, torch_matmul stands for it.

    Raises:
        UnsupportedError: if a head has another number of channels than 16, 32, 64 and so on.
    """
    if q.device.type == "meta":
        return torch_matmul(q, k, v, scale, normalised)
    for dim in (q.shape[-1], v.shape[-1]):
        if dim < SMALLEST_HEAD or dim & (dim - 1):
            raise UnsupportedError(
                f"flash_bla's kernels take heads of 16, 32, 64, ... channels, not {dim}: choose torch_matmul"
            )
    out: Tensor = _call(*(x.transpose(1, 2) for x in (q, k, v)), scale, normalised)
    return out.transpose(1, 2)


def unsupported_reason() -> str | None:
    """Why the installed package cannot run here; None where it can."""
    import triton.language as tl

    if hasattr(tl, "make_block_ptr"):
        return None
    return (
        "flash_bla uses tl.make_block_ptr, which this Triton no longer has: install triton < 3.9 with the torch that "
        "goes with it"
    )


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _call(q: Tensor, k: Tensor, v: Tensor, scale: float, normalised: bool) -> Tensor:
    out: Tensor
    if normalised:
        from flash_bla.ops.linear_attn.fused import linear_attention

        out = linear_attention(q, k, v, eps=EPS)
    else:
        from flash_bla.ops.simple_la.fused import simple_la

        out = simple_la(q, k, v, scale)
    return out
