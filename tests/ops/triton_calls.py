"""One call of each Triton operator, on the CPU: for what a call does before a GPU has anything to do."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vigbench.ops.biwkv import triton_fused as biwkv
from vigbench.ops.causal_conv import triton_fused as causal_conv
from vigbench.ops.causal_linear_attention import triton_fused as causal
from vigbench.ops.conv_norm import triton_fused as conv_norm
from vigbench.ops.dilated_convs import triton_fused as dilated_convs
from vigbench.ops.gated_delta import triton_fused as gated_delta
from vigbench.ops.gated_norm import triton_fused as gated_norm
from vigbench.ops.gated_projection import triton_fused as gated_projection
from vigbench.ops.gla import triton_fused as gla
from vigbench.ops.gla import triton_recurrent, triton_unfused
from vigbench.ops.gsa import triton_fused as gsa
from vigbench.ops.norm_conv import triton_fused as norm_conv
from vigbench.ops.norm_swiglu import triton_fused as norm_swiglu
from vigbench.ops.norm_swish_gate import triton_fused as norm_swish_gate
from vigbench.ops.regla import triton_fused as regla
from vigbench.ops.scalar_gla import triton_fused as scalar_gla
from vigbench.ops.scan import triton_fused as scan

Call = tuple[Callable[..., Any], tuple[Any, ...]]


def low_rank_inputs(length: int = 40, batch: int = 1, dtype: torch.dtype = torch.bfloat16) -> list[Tensor]:
    """q, k, v as slices of one tensor, as ViG's projections give them."""
    qkv = torch.randn(batch, length, 3 * 128).to(dtype)
    q, k, v = (x.unflatten(-1, (3, -1)) for x in qkv.split((96, 96, 192), -1))
    return [q, k, v, *(torch.randn(shape).to(dtype) for shape in ((batch, length, 16), (2, 3, 32, 16), (2, 3, 32)))]


def calls(length: int) -> dict[str, Call]:
    """Each operator, forward and backward."""
    q, k, v, *gates = low_rank_inputs(length)
    grad, (g, h) = torch.randn(v.shape).to(v.dtype), torch.randn(2, *q.shape).to(q.dtype)
    found: dict[str, Call] = {
        "low rank": (gla._forward_low_rank, (q, k, v, *gates, 0.1, 16.0)),
        "low rank backward": (gla._backward_low_rank, (grad, q, k, v, *gates, 0.1, 16.0)),
        "logits": (gla._forward_logits, (q, k, v, g, h, 0.1, 16.0)),
        "log-decays": (gla._forward, (q, k, v, g, g, 0.1)),
        "one direction": (gla._forward, (q, k, v, None, h, 0.1)),
        "log-decays backward": (gla._backward, (grad, q, k, v, g, h, 0.1)),
        "unfused": (triton_unfused._forward, (q, k, v, g, h, 0.1)),
        "recurrent": (triton_recurrent._forward, (q, k, v, g, h, 0.1)),
        "gsa": (gsa._forward, (q, k, v, q, k, g, h, 0.1)),
        "gsa of one direction": (gsa._forward, (q, k, v, None, k, None, h, 0.1)),
        "gsa backward": (gsa._backward, (grad, q, k, v, q, k, g, h, 0.1)),
        "causal linear attention": (causal._forward, (q, k, v, 0.1, True)),
        "causal linear attention backward": (causal._backward, (grad, q, k, v, 0.1, False)),
        "regla": (regla._forward, (q, k, v, g, h, h, g, 0.1)),
        "regla of one direction": (regla._forward, (q, k, v, None, None, h, g, 0.1)),
        "regla backward": (regla._backward, (grad, q, k, v, g, h, h, g, 0.1)),
    }
    found |= gated_delta_calls(grad, q, k, v)
    found |= scalar_gla_calls(grad, q, k, v)
    x, weight, bias = torch.randn(2, length, 96), torch.randn(2, 96, 4), torch.randn(2, 96)
    o, local, gate = torch.randn(3, length, 3, 64).unbind(0)
    w, u = torch.randn(2, 96).unbind(0)
    deltas, B, D = torch.rand(2, 2, length, 96), torch.randn(2, 2, length, 16), torch.randn(2, 96)
    scanned = (deltas + 1, deltas, -torch.rand(2, 96, 16), B, B, D, x, D, 0.5, True, False)
    return (
        found
        | block_calls()
        | volume_calls(length)
        | {
            "conv": (causal_conv._forward, (x, weight, bias, True)),
            "conv backward": (causal_conv._backward, (torch.randn(2, *x.shape), x, weight, bias, True)),
            "gated norm": (gated_norm._forward, (o, local, gate, o[0, 0], o[0, 1], 1e-6, True)),
            "gated norm backward": (gated_norm._backward, (o, o, local, gate, o[0, 0], o[0, 1], 1e-6, True)),
            "norm and swish gate": (norm_swish_gate._forward, (o, gate, o[0, 0], 1e-6)),
            "norm and swish gate backward": (norm_swish_gate._backward, (o, o, gate, o[0, 0], 1e-6)),
            "biwkv": (biwkv._forward, (w, u, x, x)),
            "biwkv backward": (biwkv._backward, (x, w, u, x, x.clone())),
            "scan": (scan._forward, scanned),
            "scan backward": (scan._backward, (torch.randn_like(x), *scanned)),
        }
    )


def scalar_gla_calls(grad: Tensor, q: Tensor, k: Tensor, v: Tensor) -> dict[str, Call]:
    """Scalar decays of tokens, of heads alone, and of queries and keys in one group."""
    g, h = torch.randn(*q.shape[:3], 2).to(q.dtype).unbind(-1)
    heads = torch.randn(q.shape[2]).expand(q.shape[:3])
    one = q[:, :, :1]
    return {
        "scalar decays": (scalar_gla._forward, (q, k, v, g, h, 0.1)),
        "scalar decays of heads": (scalar_gla._forward, (q, k, v, None, heads, 0.1)),
        "scalar decays backward": (scalar_gla._backward, (grad, q, k, v, g, h, 0.1)),
        "scalar decays of a group backward": (scalar_gla._backward, (grad, one, one, v, g, None, 0.1)),
    }


def gated_delta_calls(grad: Tensor, q: Tensor, k: Tensor, v: Tensor) -> dict[str, Call]:
    """The gated delta rule; the gates of both directions are slices of one tensor."""
    g_fwd, g_bwd, beta_fwd, beta_bwd = torch.randn(*q.shape[:3], 4).to(q.dtype).unbind(-1)
    gates = (g_fwd, g_bwd, beta_fwd, beta_bwd)
    return {
        "gated delta": (gated_delta._forward, (q, k, v, *gates, 0.1)),
        "gated delta of one direction": (gated_delta._forward, (q, k, v, None, g_bwd, None, beta_bwd, 0.1)),
        "gated delta backward": (gated_delta._backward, (grad, q, k, v, *gates, 0.1)),
    }


def volume_calls(length: int) -> dict[str, Call]:
    """What is fused in GLIMS, on volumes of so many planes."""
    x, y = torch.randn(1, 2, length, 3, 5), torch.randn(1, 6, length, 3, 5)
    weights, rows, slopes = ([torch.randn(shape)] * 3 for shape in ((2, 1, 3, 3, 3), (2,), (1,)))
    every, kept = (*weights, *rows, *rows, *rows, *slopes), (y, torch.randn(6, 2), x)
    return {
        "dilated convolutions": (dilated_convs._forward, (x, *every, 1e-5, True)),
        "dilated convolutions, kept by nobody": (dilated_convs._forward, (x, *every, 1e-5, False)),
        "dilated convolutions backward": (dilated_convs._backward, (y, *kept, *weights, *rows, *rows, *slopes)),
    }


def block_calls() -> dict[str, Call]:
    """What is fused around ViG's operator, on a few tokens, in bfloat16."""

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape).bfloat16()

    images, stem = normal(1, 3, 24, 32), (normal(32, 3, 9, 9), *(normal(32) for _ in range(3)))
    grid, conv = normal(1, 3, 5, 48), (normal(48), None, normal(48, 1, 3, 3), 1e-6, True)
    o, local = normal(2, 1, 7, 2, 16).unbind(0)
    gate = normal(1, 7, 48)[..., 16:].unflatten(-1, (2, 16))
    end = (normal(32), normal(16), normal(16), normal(48, 32))
    tokens, mlp = normal(1, 7, 48), (normal(48), normal(48), normal(128, 48), normal(48, 64), 1e-5, True)
    return {
        "stem": (conv_norm._forward, (images, *stem, 8, 1, 1e-6, False)),
        "norm and conv": (norm_conv._forward, (grid, *conv)),
        "norm and conv backward": (norm_conv._backward, (grid, grid, *conv)),
        "end of a mixer": (gated_projection._forward, (o, local, gate, *end, tokens, 1e-6, True)),
        "MLP": (norm_swiglu._forward, (tokens, *mlp)),
        "MLP backward": (norm_swiglu._backward, (tokens, tokens, *mlp)),
    }
