"""What one does without a merged kernel: flip and concatenate, one direction on twice the batch, flip back and add.

ViG's training path (hustvl/ViG): the same chunkwise kernels as triton_fused, one direction at a time.
"""

import torch
from torch import Tensor

from vigbench.ops.gla.cost import unfused_macs, unfused_macs_backward
from vigbench.ops.gla.kernels.launch import log_decay_gates
from vigbench.ops.gla.operator import define_gla
from vigbench.ops.gla.triton_fused import run_backward, run_forward


def _forward(q: Tensor, k: Tensor, v: Tensor, g_fwd: Tensor | None, g_bwd: Tensor | None, scale: float) -> Tensor:
    q, k, v = (_both_ways(x, g_fwd, g_bwd) for x in (q, k, v))
    return _add(run_forward(q, k, v, scale, log_decay_gates, _gates(g_fwd, g_bwd), None), g_fwd, g_bwd)


def _backward(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, g_fwd: Tensor | None, g_bwd: Tensor | None, scale: float
) -> list[Tensor]:
    images = len(q)
    grad, q, k, v = (_both_ways(x, g_fwd, g_bwd) for x in (grad, q, k, v))
    *grads, dg = run_backward(grad, q, k, v, scale, log_decay_gates, _gates(g_fwd, g_bwd), None)
    dg_fwd, dg_bwd = dg[:images], dg[len(dg) - images :].flip(1)
    gate_grads = [d.contiguous() for d, g in ((dg_fwd, g_fwd), (dg_bwd, g_bwd)) if g is not None]
    return [_add(x, g_fwd, g_bwd) for x in grads] + gate_grads


def _both_ways(x: Tensor, g_fwd: Tensor | None, g_bwd: Tensor | None) -> Tensor:
    """`x` as the directions there are meet it, one after the other along the batch."""
    if g_bwd is None:
        return x
    return x.flip(1) if g_fwd is None else torch.cat((x, x.flip(1)))


def _gates(g_fwd: Tensor | None, g_bwd: Tensor | None) -> Tensor:
    flipped = None if g_bwd is None else g_bwd.flip(1)
    gates = [g for g in (g_fwd, flipped) if g is not None]
    return torch.cat(gates) if len(gates) > 1 else gates[0]


def _add(x: Tensor, g_fwd: Tensor | None, g_bwd: Tensor | None) -> Tensor:
    """The sum of the directions, each back in order."""
    if g_bwd is None:
        return x
    return x.flip(1) if g_fwd is None else x[: len(x) // 2] + x[len(x) // 2 :].flip(1)


triton_unfused = define_gla("triton_unfused", _forward, _backward, unfused_macs, unfused_macs_backward)
