"""Attention by torch's flex_attention, compiled for its inputs: uncompiled it would materialise the scores."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import flex_attention

from vigbench.ops.attention.softmax import sdpa

_compiled = torch.compile(flex_attention, dynamic=False)


def flex(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    """softmax(scale q k^T) v without score_mod or mask; arguments as for `sdpa`, which stands for it on "meta"."""
    if q.device.type == "meta":
        return sdpa(q, k, v, scale)
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    out: Tensor = _compiled(q, k, v, scale=scale)
    return out.transpose(1, 2)
