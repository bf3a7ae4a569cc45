"""The peer: flash-linear-attention's chunk_gla, used both ways."""

from typing import Any

import torch
from torch import Tensor

from vigbench.ops.gla.torch_chunk import torch_chunk


def fla(q: Tensor, k: Tensor, v: Tensor, g_fwd: Tensor | None, g_bwd: Tensor | None, scale: float) -> Tensor:
    """chunk_gla on the sequence, plus chunk_gla on the flipped one, flipped back; autograd is its own.

    On the meta device, where costs are counted, torch_chunk's shapes and arithmetic stand for it: same chunks.
    """
    if q.device.type == "meta":
        return torch_chunk(q, k, v, g_fwd, g_bwd, scale)
    outputs: list[Tensor] = []
    if g_fwd is not None:
        outputs.append(_chunk_gla(q, k, v, g_fwd, scale))
    if g_bwd is not None:
        outputs.append(_chunk_gla(*(x.flip(1) for x in (q, k, v, g_bwd)), scale).flip(1))
    return sum(outputs[1:], outputs[0])


def unsupported_reason() -> str | None:
    """Why the installed flash-linear-attention cannot run here; None where it can."""
    import triton.language as tl

    if not hasattr(tl, "make_block_ptr"):
        return (
            "flash-linear-attention uses tl.make_block_ptr, which this Triton no longer has: install triton < 3.9 "
            "(with the torch release that goes with it)"
        )
    return None


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _chunk_gla(*inputs: Any) -> Tensor:
    from fla.ops.gla import chunk_gla

    q, k, v, g, scale = inputs
    out: Tensor = chunk_gla(q, k, v, g, scale=scale)[0]
    return out
