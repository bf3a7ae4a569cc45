"""Chunkwise ReGLA in Triton: GLA's kernels, in which features and refined gates are computed where they are used.

Before them two small kernels find the maxima (`kernels/maxima.py`). Behind the backward's, two more take the maxima's
shares from the gradients of q and k (`kernels/shares.py`), which GLA's kernels give as if maxima were constants.
"""

from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor

from vigbench.ops import kernel_launch
from vigbench.ops.gla.cost import chunk_macs, fused_macs_backward
from vigbench.ops.gla.kernels import launch
from vigbench.ops.gla.kernels.features import Exponentials
from vigbench.ops.gla.kernels.launch import refined_gates
from vigbench.ops.gla.kernels.settings import GlaSettings, Pass, settings_for
from vigbench.ops.gla.kernels.tiles import view
from vigbench.ops.launch_plan import planned
from vigbench.ops.precision import refuse_float64
from vigbench.ops.regla.kernels.maxima import block_maxima, head_maxima
from vigbench.ops.regla.kernels.shares import block_shares, key_shares
from vigbench.ops.regla.operator import define_regla

LONGEST_CHUNK = 32  # decays are strong: of normal logits -0.84 a token, -54 over 64, at the edge of what is factored
BLOCK_ELEMENTS, FEWEST_ROWS = 2048, 16  # of a block of tokens, which lies in registers; and tokens in it
WIDTH = 128  # blocks summed at once
WARPS, STAGES = 4, 1


class Maxima(NamedTuple):
    """Of each query, (batch, length, heads, 2), and of each head's keys, (batch, 1, heads, 2); float32."""

    of_queries: Tensor
    of_heads: Tensor


def _forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    x_fwd: Tensor | None,
    y_fwd: Tensor | None,
    x_bwd: Tensor | None,
    y_bwd: Tensor | None,
    scale: float,
) -> Tensor:
    refuse_float64(v, "use torch_chunk")
    if v.numel() == 0:
        return v.new_empty(v.shape)
    return _planned_forward(q, k, v, x_fwd, y_fwd, x_bwd, y_bwd, scale, _settings(q, v, x_fwd, x_bwd, "forward"))


def _backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    x_fwd: Tensor | None,
    y_fwd: Tensor | None,
    x_bwd: Tensor | None,
    y_bwd: Tensor | None,
    scale: float,
) -> list[Tensor]:
    logits = (x_fwd, y_fwd, x_bwd, y_bwd)
    if v.numel() == 0:
        return [x.new_empty(x.shape) for x in (q, k, v, *logits) if x is not None]
    return _planned_backward(grad, q, k, v, *logits, scale, _settings(q, v, x_fwd, x_bwd, "backward"))


def _settings(q: Tensor, v: Tensor, x_fwd: Tensor | None, x_bwd: Tensor | None, pass_: Pass) -> GlaSettings:
    """GLA's, in chunks that are not longer than decays are mild."""
    batch, length, heads, key_dim = q.shape
    walks = batch * heads * sum(x is not None for x in (x_fwd, x_bwd))
    chosen = settings_for(v.device, v.dtype, key_dim, v.shape[-1], length, walks, pass_)
    shorter = max(1, chosen.chunk // LONGEST_CHUNK)
    return chosen._replace(chunk=chosen.chunk // shorter, segment=chosen.segment * shorter)


@planned
def _planned_forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    x_fwd: Tensor | None,
    y_fwd: Tensor | None,
    x_bwd: Tensor | None,
    y_bwd: Tensor | None,
    scale: float,
    settings: GlaSettings,
) -> Tensor:
    maxima = _maxima(q, k)
    features = Exponentials(q, maxima.of_queries), Exponentials(k, maxima.of_heads)
    return launch.forward(*features, v, refined_gates(x_fwd, y_fwd, x_bwd, y_bwd), scale, settings)


@planned
def _planned_backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    x_fwd: Tensor | None,
    y_fwd: Tensor | None,
    x_bwd: Tensor | None,
    y_bwd: Tensor | None,
    scale: float,
    settings: GlaSettings,
) -> list[Tensor]:
    maxima = _maxima(q, k)
    features = Exponentials(q, maxima.of_queries), Exponentials(k, maxima.of_heads)
    grads = launch.backward(grad, *features, v, refined_gates(x_fwd, y_fwd, x_bwd, y_bwd), scale, settings)
    _take_shares(q, k, maxima, *grads[:2])
    return grads


def _maxima(q: Tensor, k: Tensor) -> Maxima:
    batch, length, heads, _ = q.shape
    of_queries = torch.empty(batch, length, heads, 2, dtype=torch.float32, device=q.device)
    of_heads = torch.empty(batch, 1, heads, 2, dtype=torch.float32, device=q.device)
    blocks = triton.cdiv(length, _rows(q))
    of_blocks = torch.empty(batch, heads, blocks, dtype=torch.float32, device=q.device)
    _over_blocks(block_maxima, q, view(q), view(k), view(of_queries), of_blocks)
    kernel_launch.launch_kernel(
        head_maxima, (batch * heads, 1, 1), q.device, (of_blocks, of_heads, blocks), {"width": WIDTH}, 1, STAGES
    )
    return Maxima(of_queries, of_heads)


def _take_shares(q: Tensor, k: Tensor, maxima: Maxima, dq: Tensor, dk: Tensor) -> None:
    """From the gradients of q and k, in place."""
    batch, length, heads, _ = q.shape
    of_blocks = torch.empty(batch, heads, triton.cdiv(length, _rows(q)), 2, dtype=torch.float32, device=q.device)
    of_queries, of_heads = view(maxima.of_queries), view(maxima.of_heads)
    _over_blocks(block_shares, q, view(q), view(k), of_queries, of_heads, view(dq), view(dk), of_blocks)
    _over_blocks(key_shares, q, view(k), of_heads, view(dk), of_blocks, width=WIDTH)


def _over_blocks(kernel: Any, q: Tensor, *args: Any, **constants: int) -> None:
    """Launch a program for each head and block of tokens."""
    batch, length, heads, key_dim = q.shape
    rows = _rows(q)
    sizes = {"heads": heads, "key_dim": key_dim, "key_block": triton.next_power_of_2(key_dim), "rows": rows}
    grid = (heads, triton.cdiv(length, rows), batch)
    kernel_launch.launch_kernel(kernel, grid, q.device, (*args, length), sizes | constants, WARPS, STAGES)


def _rows(q: Tensor) -> int:
    """Tokens of a block."""
    return max(FEWEST_ROWS, BLOCK_ELEMENTS // int(triton.next_power_of_2(q.shape[-1])))


triton_fused = define_regla("triton_fused", _forward, _backward, chunk_macs, fused_macs_backward)
