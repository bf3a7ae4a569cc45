"""From tensors to launches of gated slot attention's own kernels; states come from gated linear attention's."""

import torch
import triton
from torch import Tensor

from vigbench.ops import kernel_launch
from vigbench.ops.gla.kernels.launch import GlaWork, log_decay_gates
from vigbench.ops.gla.kernels.settings import GlaSettings, default_settings
from vigbench.ops.gla.kernels.tiles import view
from vigbench.ops.gsa.kernels.probabilities import slot_probabilities
from vigbench.ops.gsa.kernels.softmax import through_softmax

MOST_SLOTS = 128  # of which one program computes the softmax, too
TILE_ELEMENTS = 4096  # of a tile in the softmax's gradient: 32 registers a thread of each


def settings_for(capability: str, dtype: torch.dtype, slots: int) -> GlaSettings:
    """Of the pass over the keys: those of a forward pass in two passes, but smaller chunks where registers spill."""
    settings = default_settings(capability, dtype, "forward", slots)
    return settings._replace(chunk=32, warps=8) if settings.chunk > 32 and slots > 64 else settings


def probabilities(
    q: Tensor,
    k: Tensor,
    s: Tensor,
    g_fwd: Tensor | None,
    g_bwd: Tensor | None,
    scale: float,
    settings: GlaSettings,
    dtype: torch.dtype,
) -> Tensor:
    """Of each slot, like s; logits instead where there are more than `MOST_SLOTS`.

    The one direction is that whose log-decays are given.
    """
    out = torch.empty(s.shape, dtype=dtype, device=s.device)
    if out.numel() == 0:
        return out
    work = GlaWork(s, k, log_decay_gates(g_fwd, g_bwd), settings, "forward")
    states = work.states(s, k, adjoint=False)
    block = min(triton.next_power_of_2(max(16, s.shape[-1])), MOST_SLOTS)
    variant = work.variant._replace(key_block=block, key_blocks=triton.cdiv(s.shape[-1], block))
    work.start(
        slot_probabilities,
        (work.heads * variant.key_blocks, work.chunks, work.batch),
        settings.warps,
        settings.stages,
        view(q), view(k), view(s), work.gates[0], states, view(out), work.length, work.segment, scale,
        variant=variant,
    )  # fmt: skip
    return out


def logit_gradients(p: Tensor, dp: Tensor) -> Tensor:
    """Of the softmax over the slots: contiguous float32 tensors, (batch, length, heads, slots)."""
    out = torch.empty(p.shape, dtype=p.dtype, device=p.device)
    if out.numel() == 0:
        return out
    slots = p.shape[-1]
    block = triton.next_power_of_2(slots)
    rows = max(1, TILE_ELEMENTS // block)
    tokens = p.numel() // slots
    kernel_launch.launch_kernel(
        through_softmax,
        (triton.cdiv(tokens, rows), 1, 1),
        p.device,
        (p, dp, out, tokens),
        {"slots": slots, "block": block, "rows": rows},
        warps=4,
        stages=1,
    )
    return out
