"""Chunkwise gated linear attention in Triton, both directions in one pass: forward and backward.

One walk along each sequence with its state in registers, or two passes over q, k, v and the gates: states at chunk
boundaries, then outputs (kernels/). Nothing is flipped, concatenated or copied, whatever the strides. The gates may
also come as logits, or as the low-rank activations that logits are computed from: then no log-decay reaches memory.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vigbench.ops.custom_operator import CostFormulas, define_operator
from vigbench.ops.gla.cost import (
    chunk_macs,
    fused_macs_backward,
    gla_macs,
    gla_macs_backward,
    logits_special,
    low_rank_chunk_macs,
    low_rank_chunk_macs_backward,
    low_rank_macs,
    low_rank_macs_backward,
    low_rank_special,
)
from vigbench.ops.gla.kernels import launch
from vigbench.ops.gla.kernels.gates import LOGITS
from vigbench.ops.gla.kernels.launch import Gates, log_decay_gates, low_rank_gates
from vigbench.ops.gla.kernels.settings import GlaSettings, Pass, settings_for
from vigbench.ops.gla.operator import SCHEMA, define_gla
from vigbench.ops.launch_plan import planned


def run_forward(q: Tensor, k: Tensor, v: Tensor, scale: float, gates: Callable[..., Gates], *given: Any) -> Tensor:
    """The forward pass with the settings tuned for these tensors; the gates are `gates(*given)`."""
    return _planned_forward(q, k, v, scale, _settings(q, v, "forward", gates, given), gates, *given)


def run_backward(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, scale: float, gates: Callable[..., Gates], *given: Any
) -> list[Tensor]:
    """The backward pass with the settings tuned for these tensors; the gates are `gates(*given)`."""
    return _planned_backward(grad, q, k, v, scale, _settings(q, v, "backward", gates, given), gates, *given)


def _settings(q: Tensor, v: Tensor, pass_: Pass, gates: Callable[..., Gates], given: tuple[Any, ...]) -> GlaSettings:
    batch, length, heads, key_dim = q.shape
    # those of the weights, or of the log-decays that are there
    directions = given[1].shape[0] if gates is low_rank_gates else 2 - sum(x is None for x in given[:2])
    return settings_for(v.device, v.dtype, key_dim, v.shape[-1], length, batch * heads * directions, pass_)


@planned
def _planned_forward(
    q: Tensor, k: Tensor, v: Tensor, scale: float, settings: GlaSettings, gates: Callable[..., Gates], *given: Any
) -> Tensor:
    return launch.forward(q, k, v, gates(*given), scale, settings)


@planned
def _planned_backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    scale: float,
    settings: GlaSettings,
    gates: Callable[..., Gates],
    *given: Any,
) -> list[Tensor]:
    return launch.backward(grad, q, k, v, gates(*given), scale, settings)


def _forward(q: Tensor, k: Tensor, v: Tensor, g_fwd: Tensor | None, g_bwd: Tensor | None, scale: float) -> Tensor:
    return run_forward(q, k, v, scale, log_decay_gates, g_fwd, g_bwd)


def _backward(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, g_fwd: Tensor | None, g_bwd: Tensor | None, scale: float
) -> list[Tensor]:
    return run_backward(grad, q, k, v, scale, log_decay_gates, g_fwd, g_bwd)


def _forward_logits(
    q: Tensor, k: Tensor, v: Tensor, x_fwd: Tensor | None, x_bwd: Tensor | None, scale: float, normalizer: float
) -> Tensor:
    return run_forward(q, k, v, scale, log_decay_gates, x_fwd, x_bwd, LOGITS, normalizer)


def _backward_logits(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    x_fwd: Tensor | None,
    x_bwd: Tensor | None,
    scale: float,
    normalizer: float,
) -> list[Tensor]:
    return run_backward(grad, q, k, v, scale, log_decay_gates, x_fwd, x_bwd, LOGITS, normalizer)


def _forward_low_rank(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    a: Tensor,
    weight: Tensor,
    bias: Tensor,
    scale: float,
    normalizer: float,
    reverse: bool = False,
) -> Tensor:
    return run_forward(q, k, v, scale, low_rank_gates, a, weight, bias, normalizer, reverse)


def _backward_low_rank(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    a: Tensor,
    weight: Tensor,
    bias: Tensor,
    scale: float,
    normalizer: float,
    reverse: bool = False,
) -> list[Tensor]:
    dq, dk, dv, dx = run_backward(grad, q, k, v, scale, low_rank_gates, a, weight, bias, normalizer, reverse)
    flat = dx.flatten(2)  # logits of all directions, (batch, length, directions * heads * key_dim)
    d_weight = (flat.flatten(0, 1).mT @ a.flatten(0, 1)).view(weight.shape)
    d_bias = flat.sum((0, 1), dtype=torch.float32).to(bias.dtype).view(bias.shape)
    return [dq, dk, dv, flat @ weight.flatten(0, 2), d_weight, d_bias]


def define_low_rank(name: str) -> None:
    """torch.ops.vigbench.gla_<name>_low_rank: what `bidirectional_gla_low_rank` and `gla_low_rank` compute, in these
    kernels; `reverse` counts where there is one direction."""
    define_operator(
        f"gla_{name}_low_rank",
        _forward_low_rank,
        _backward_low_rank,
        CostFormulas(
            low_rank_macs, low_rank_chunk_macs, low_rank_macs_backward, low_rank_chunk_macs_backward, low_rank_special
        ),
        "Tensor q, Tensor k, Tensor v, Tensor a, Tensor weight, Tensor bias, float scale, float normalizer, "
        "bool reverse=False",
    )


triton_fused = define_gla("triton_fused", _forward, _backward, chunk_macs, fused_macs_backward)
define_operator(
    "gla_triton_fused_logits",
    _forward_logits,
    _backward_logits,
    CostFormulas(gla_macs, chunk_macs, gla_macs_backward, fused_macs_backward, logits_special),
    f"{SCHEMA}, float normalizer".replace("g_fwd", "x_fwd").replace("g_bwd", "x_bwd"),
)
define_low_rank("triton_fused")
