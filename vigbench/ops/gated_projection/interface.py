"""The end of a mixer for models: casts, and which code computes it."""

import importlib

import torch
import torch.nn.functional as F
from torch import Tensor

from vigbench.ops.gated_norm import interface as gated_norm


def gated_projection(
    o: Tensor,
    local: Tensor,
    gate: Tensor,
    gate_bias: Tensor,
    o_weight: Tensor,
    local_weight: Tensor,
    weight: Tensor,
    residual: Tensor | None,
    eps: float,
    act: bool,
) -> Tensor:
    """residual + weight gated_norm(o, local, gate + gate_bias) (ViG, arXiv 2405.18425, section 3.2).

    Triton kernels: norms and sums in float32.

    Args:
        o, local, gate: (..., heads, head_dim), one half precision.
        gate_bias: (heads * head_dim,).
        o_weight, local_weight: (head_dim,), of the norms.
        weight: (dim, heads * head_dim).
        residual: (..., dim), any dtype; None: nothing is added.
        eps: added to the mean square.
        act: whether SiLU follows the mixing, before the projection.

    Returns:
        (..., dim), dtype of the residual, or of o.
    """
    operator = getattr(torch.ops.vigbench, _define())
    weights = (x.to(o.dtype) for x in (gate_bias, o_weight, local_weight, weight))
    out: Tensor = operator(o, local, gate, *weights, residual, eps, act)
    return out


def step_by_step(
    o: Tensor,
    local: Tensor,
    gate: Tensor,
    gate_bias: Tensor,
    o_weight: Tensor,
    local_weight: Tensor,
    weight: Tensor,
    residual: Tensor | None,
    eps: float,
    act: bool,
) -> Tensor:
    """The same in plain PyTorch, of tensors of one dtype."""
    gate = gate + gate_bias.view(gate.shape[-2:])
    mixed = gated_norm.step_by_step(o, local, gate, o_weight, local_weight, eps, act)
    out = F.linear(mixed.flatten(-2), weight)
    return out if residual is None else residual + out


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]  # torch.compile need not trace an import
def _define() -> str:
    """The operator's name, once it is defined."""
    importlib.import_module("vigbench.ops.gated_projection.triton_fused")
    return "gated_projection"
