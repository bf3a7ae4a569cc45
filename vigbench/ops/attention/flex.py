"""Attention by torch's flex_attention, compiled for its inputs: uncompiled it would materialise the scores."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from vigbench.ops.attention.refusal import or_unsupported
from vigbench.ops.attention.softmax import sdpa

_compiled = or_unsupported("flex", torch.compile(flex_attention, dynamic=False))


def flex(q: Tensor, k: Tensor, v: Tensor, scale: float, causal: bool = False) -> Tensor:
    """softmax(scale q k^T) v without score_mod; arguments as for `sdpa`, which stands for it on "meta".

    Raises:
        UnsupportedError: if there is no kernel for the heads' size.
    """
    if q.device.type == "meta":
        return sdpa(q, k, v, scale, causal)
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    mask = _causal_mask(q.shape[2], q.device) if causal else None
    out: Tensor = _compiled(q, k, v, scale=scale, block_mask=mask)
    return out.transpose(1, 2)


@lru_cache(maxsize=8)
def _causal_mask(length: int, device: torch.device) -> BlockMask:
    """Which blocks of scores there are: found once, it takes longer than the attention."""
    return create_block_mask(lambda _b, _h, query, key: query >= key, None, None, length, length, device=device)
