"""The peer: flash-linear-attention's chunk_linear_attn, without its norm. GLA's paper measures such a kernel."""

import torch
from torch import Tensor

from vigbench.ops.causal_linear_attention.torch_chunk import torch_chunk


def fla(q: Tensor, k: Tensor, v: Tensor, scale: float, reverse: bool) -> Tensor:
    """chunk_linear_attn, or on the flipped sequence, flipped back; autograd is its own.

    On the meta device, where costs are counted, torch_chunk's shapes and arithmetic stand for it: same chunks.
    """
    if q.device.type == "meta":
        return torch_chunk(q, k, v, scale, reverse)
    inputs = [x.flip(1) for x in (q, k, v)] if reverse else [q, k, v]
    out: Tensor = _call(*inputs, scale)
    return out.flip(1) if reverse else out


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _call(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    from fla.ops.linear_attn import chunk_linear_attn

    out: Tensor = chunk_linear_attn(q, k, v, scale=scale, normalize=False)[0]
    return out
