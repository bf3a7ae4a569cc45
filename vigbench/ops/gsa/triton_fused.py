"""Gated slot attention in Triton: forward and backward, a direction after the other.

The second pass and all gradients are gated linear attention's kernels (`vigbench.ops.gla.triton_fused`), as in
`torch_chunk.py`; logits and their softmax have kernels of their own. Logits are float32 and stay in registers. What
reads values is multiplied in the inputs' precision, and so are the probabilities that a forward pass writes; what is
kept for the softmax's gradient is float32.
"""

from typing import Any

import torch
from torch import Tensor

from vigbench.ops.capability import capability_of
from vigbench.ops.gla.kernels.launch import log_decay_gates
from vigbench.ops.gla.kernels.settings import GlaSettings
from vigbench.ops.gla.triton_fused import run_backward, run_forward
from vigbench.ops.gsa.cost import chunk_macs, fused_macs_backward
from vigbench.ops.gsa.kernels import launch
from vigbench.ops.gsa.operator import GsaArguments, SlotDirection, define_gsa
from vigbench.ops.launch_plan import planned
from vigbench.ops.precision import refuse_float64


def _forward(*arguments: Any) -> Tensor:
    given = GsaArguments(*arguments)
    v = given.v
    refuse_float64(v, "use torch_chunk")
    ways = given.directions()
    outputs = [
        run_forward(_probabilities(given, way, v.dtype), way.s, v, 1 / len(ways), log_decay_gates, *way.gates)
        for way in ways
    ]
    return outputs[0].add_(outputs[1]) if len(outputs) == 2 else outputs[0]


def _backward(grad: Tensor, *arguments: Any) -> list[Tensor]:
    given = GsaArguments(*arguments)
    q, k, v = given[:3]
    refuse_float64(v, "use torch_chunk")
    ways, scale = given.directions(), given.scale
    of_qkv: list[list[Tensor]] = []
    of_s, of_g = [], []
    for way in ways:
        p = _probabilities(given, way, torch.float32)
        dp, ds, dv, dg = run_backward(grad, p, way.s, v, 1 / len(ways), log_decay_gates, *way.gates)
        d_logits = _logit_gradients(p, dp)
        del p, dp
        dq = run_forward(d_logits, way.s, k, scale, log_decay_gates, *way.gates)
        of_keys = run_backward(q, d_logits, way.s, k, scale, log_decay_gates, *way.gates)
        _, ds_of_keys, dk, dg_of_keys = of_keys
        of_qkv.append([dq, dk, dv])
        of_s.append(ds.add_(ds_of_keys))
        of_g.append(dg.add_(dg_of_keys))
    for total, part in zip(of_qkv[0], of_qkv[-1], strict=True) if len(ways) == 2 else ():
        total.add_(part)
    return [*of_qkv[0], *of_s, *of_g]


def _probabilities(given: GsaArguments, way: SlotDirection, dtype: torch.dtype) -> Tensor:
    """The first pass: of each slot, like s, in this dtype."""
    slots = way.s.shape[-1]
    settings = launch.settings_for(capability_of(given.k.device), given.k.dtype, slots)
    whole = slots <= launch.MOST_SLOTS
    inputs = (given.q, given.k, way.s, *way.gates, given.scale, settings, dtype if whole else torch.float32)
    found = _planned_probabilities(*inputs)
    return found if whole else found.softmax(-1).to(dtype)


@planned
def _planned_probabilities(
    q: Tensor,
    k: Tensor,
    s: Tensor,
    g_fwd: Tensor | None,
    g_bwd: Tensor | None,
    scale: float,
    settings: GlaSettings,
    dtype: torch.dtype,
) -> Tensor:
    return launch.probabilities(q, k, s, g_fwd, g_bwd, scale, settings, dtype)


@planned
def _logit_gradients(p: Tensor, dp: Tensor) -> Tensor:
    return launch.logit_gradients(p, dp)


triton_fused = define_gsa("triton_fused", _forward, _backward, chunk_macs, fused_macs_backward)
