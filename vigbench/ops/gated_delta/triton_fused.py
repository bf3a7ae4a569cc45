"""The chunkwise gated delta rule in Triton: forward and backward, one or two directions.

arXiv 2412.06464, section 3.3, in three passes (kernels/): the triangular system of every chunk, states from chunk to
chunk, outputs. The backward computes the first two anew, sends gradients of states back, and ends with those of the
inputs. Nothing is flipped or copied: a direction is a way of counting tokens.
"""

from torch import Tensor

from vigbench.ops.capability import capability_of
from vigbench.ops.gated_delta.cost import triton_macs, triton_macs_backward
from vigbench.ops.gated_delta.kernels import launch
from vigbench.ops.gated_delta.kernels.variant import DeltaSettings, settings_for
from vigbench.ops.gated_delta.operator import define_delta, directions_of
from vigbench.ops.launch_plan import planned
from vigbench.ops.precision import refuse_float64


def _forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    g_fwd: Tensor | None,
    g_bwd: Tensor | None,
    beta_fwd: Tensor | None,
    beta_bwd: Tensor | None,
    scale: float,
) -> Tensor:
    _refuse(q, v)
    settings = settings_for(capability_of(v.device), v.dtype, gradients=False)
    return _planned_forward(q, k, v, *_dense(g_fwd, g_bwd, beta_fwd, beta_bwd), scale, settings)


def _backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    g_fwd: Tensor | None,
    g_bwd: Tensor | None,
    beta_fwd: Tensor | None,
    beta_bwd: Tensor | None,
    scale: float,
) -> list[Tensor]:
    settings = settings_for(capability_of(v.device), v.dtype, gradients=True)
    return _planned_backward(grad, q, k, v, *_dense(g_fwd, g_bwd, beta_fwd, beta_bwd), scale, settings)


@planned
def _planned_forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    g_fwd: Tensor | None,
    g_bwd: Tensor | None,
    beta_fwd: Tensor | None,
    beta_bwd: Tensor | None,
    scale: float,
    settings: DeltaSettings,
) -> Tensor:
    return launch.forward(q, k, v, list(directions_of(g_fwd, g_bwd, beta_fwd, beta_bwd)), scale, settings)


@planned
def _planned_backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    g_fwd: Tensor | None,
    g_bwd: Tensor | None,
    beta_fwd: Tensor | None,
    beta_bwd: Tensor | None,
    scale: float,
    settings: DeltaSettings,
) -> list[Tensor]:
    return launch.backward(grad, q, k, v, list(directions_of(g_fwd, g_bwd, beta_fwd, beta_bwd)), scale, settings)


def _dense(*gates: Tensor | None) -> list[Tensor | None]:
    """A number a token and head: strides are not worth their registers."""
    return [None if x is None else x.contiguous() for x in gates]


def _refuse(q: Tensor, v: Tensor) -> None:
    refuse_float64(v, "use torch_chunk")
    if q.shape[-1] > launch.MOST_KEYS:
        raise ValueError(
            f"q has {q.shape[-1]} channels a head: the Triton kernels keep states of up to {launch.MOST_KEYS} in "
            "registers: use torch_chunk"
        )


triton_fused = define_delta("triton_fused", _forward, _backward, triton_macs, triton_macs_backward)
