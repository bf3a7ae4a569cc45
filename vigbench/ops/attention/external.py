"""The peers: fused attention by the flash-attn packages.

Arguments and results as for `softmax.sdpa`; UnsupportedError where the package has no kernel for the inputs. On "meta",
where costs are counted, `sdpa` stands for them.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from vigbench.ops.attention.refusal import or_unsupported
from vigbench.ops.attention.softmax import sdpa


def _flash_attn(q: Tensor, k: Tensor, v: Tensor, scale: float, causal: bool = False) -> Tensor:
    """FlashAttention-2 (arXiv 2307.08691) by the flash-attn package; half precision, CUDA."""
    if q.device.type == "meta":
        return sdpa(q, k, v, scale, causal)
    from flash_attn import flash_attn_func

    out: Tensor = flash_attn_func(q, k, v, softmax_scale=scale, causal=causal)
    return out


def _flash_attn_4(q: Tensor, k: Tensor, v: Tensor, scale: float, causal: bool = False) -> Tensor:
    """FlashAttention-4 by the flash-attn-4 package (CuTe DSL, compiled on first use); half precision, CUDA."""
    if q.device.type == "meta":
        return sdpa(q, k, v, scale, causal)
    from flash_attn.cute import flash_attn_func

    out: Tensor | tuple[Tensor, Any] = flash_attn_func(q, k, v, softmax_scale=scale, causal=causal)
    return out[0] if isinstance(out, tuple) else out  # some releases return the scores' normaliser, too


flash_attn = or_unsupported("flash_attn", _flash_attn)
flash_attn_4 = or_unsupported("flash_attn_4", _flash_attn_4)
