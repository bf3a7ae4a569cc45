"""Chunkwise scalar-decay linear attention in Triton, both directions in two passes: forward and backward.

States at chunk boundaries, then outputs (kernels/). Nothing is flipped, concatenated, repeated or copied, whatever the
strides: heads of a group read the same queries and keys, and decays that tokens share are read once a head.
"""

from torch import Tensor

from vigbench.ops.capability import capability_of
from vigbench.ops.launch_plan import planned
from vigbench.ops.scalar_gla.cost import fused_macs, fused_macs_backward
from vigbench.ops.scalar_gla.kernels import launch
from vigbench.ops.scalar_gla.kernels.settings import ScalarSettings, default_settings
from vigbench.ops.scalar_gla.operator import define_scalar_gla

Gate = Tensor | None


def _forward(q: Tensor, k: Tensor, v: Tensor, g_fwd: Gate, g_bwd: Gate, scale: float) -> Tensor:
    settings = default_settings(capability_of(v.device), v.dtype, "forward")
    return _planned_forward(q, k, v, g_fwd, g_bwd, scale, settings)


def _backward(grad: Tensor, q: Tensor, k: Tensor, v: Tensor, g_fwd: Gate, g_bwd: Gate, scale: float) -> list[Tensor]:
    settings = default_settings(capability_of(v.device), v.dtype, "backward")
    dq, dk, dv, *parts = _planned_backward(grad, q, k, v, g_fwd, g_bwd, scale, settings)
    gates = [g for g in (g_fwd, g_bwd) if g is not None]
    return [dq, dk, dv, *(part.sum(0).to(g.dtype) for part, g in zip(parts, gates, strict=True))]


@planned
def _planned_forward(
    q: Tensor, k: Tensor, v: Tensor, g_fwd: Gate, g_bwd: Gate, scale: float, settings: ScalarSettings
) -> Tensor:
    return launch.forward(q, k, v, g_fwd, g_bwd, scale, settings)


@planned
def _planned_backward(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, g_fwd: Gate, g_bwd: Gate, scale: float, settings: ScalarSettings
) -> list[Tensor]:
    return launch.backward(grad, q, k, v, g_fwd, g_bwd, scale, settings)


triton_fused = define_scalar_gla(
    "triton_fused", _forward, _backward, fused_macs, fused_macs_backward, lambda dtype: dtype
)
