"""ViG's own inference kernel: token by token, both directions in one launch (arXiv 2405.18425, section 3.3).

A program owns a block of value channels of one sequence, head and direction, and keeps its state in registers, in
float32. Each direction writes its own output; they are added afterwards.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from vigbench.ops.gla.cost import gla_macs
from vigbench.ops.gla.operator import define_operator

VALUE_BLOCK = 16  # a state of 32 x 16 is 16 registers a thread in one warp


@triton.jit  # type: ignore[untyped-decorator]
def recurrence(  # type: ignore[no-untyped-def]  # Triton reads annotations itself
    q,
    k,
    v,
    g_fwd,
    g_bwd,
    out,
    length,
    rows,
    scale,
    heads: tl.constexpr,
    key_dim: tl.constexpr,
    value_dim: tl.constexpr,
    key_block: tl.constexpr,
    value_block: tl.constexpr,
    first_direction: tl.constexpr,
):
    """Tensors are contiguous (batch, length, heads, dim); out is (direction, batch, length, heads, value_dim)."""
    row, output = tl.program_id(1).to(tl.int64), tl.program_id(2).to(tl.int64)
    reverse = output + first_direction
    keys = tl.arange(0, key_block)
    values = tl.program_id(0) * value_block + tl.arange(0, value_block)
    first_token = row // heads * length * heads + row % heads
    state = tl.zeros((key_block, value_block), dtype=tl.float32)
    for step in range(length):
        t = first_token + heads * (step + reverse * (length - 1 - 2 * step))
        at_keys, at_values = t * key_dim + keys, t * value_dim + values
        is_key, is_value = keys < key_dim, values < value_dim
        g = tl.load(g_fwd + at_keys, mask=keys < key_dim * (1 - reverse), other=0).to(tl.float32)
        g += tl.load(g_bwd + at_keys, mask=keys < key_dim * reverse, other=0).to(tl.float32)
        q_t = tl.load(q + at_keys, mask=is_key, other=0).to(tl.float32) * scale
        k_t = tl.load(k + at_keys, mask=is_key, other=0).to(tl.float32)
        v_t = tl.load(v + at_values, mask=is_value, other=0).to(tl.float32)
        state = state * tl.exp(g)[:, None] + k_t[:, None] * v_t[None, :]
        tl.store(out + output * rows * length * value_dim + at_values, tl.sum(q_t[:, None] * state, 0), mask=is_value)


def _forward(q: Tensor, k: Tensor, v: Tensor, g_fwd: Tensor | None, g_bwd: Tensor | None, scale: float) -> Tensor:
    if v.dtype == torch.float64:
        raise ValueError("triton_recurrent sums in float32: pass float32 or half precision, or use torch_chunk")
    batch, length, heads, value_dim = v.shape
    gates = [g for g in (g_fwd, g_bwd) if g is not None]
    out = torch.empty(len(gates), *v.shape, dtype=torch.float32, device=v.device)
    if batch == 0:
        return v.new_empty(v.shape)
    grid = (triton.cdiv(value_dim, VALUE_BLOCK), batch * heads, len(gates))
    tensors = [x.contiguous() for x in (q, k, v, gates[0], gates[-1])]
    with torch.cuda.device(v.device if v.is_cuda else -1):
        recurrence[grid](
            *tensors,
            out,
            length,
            batch * heads,
            scale,
            heads=heads,
            key_dim=q.shape[-1],
            value_dim=value_dim,
            key_block=triton.next_power_of_2(q.shape[-1]),
            value_block=VALUE_BLOCK,
            first_direction=0 if g_fwd is not None else 1,
            num_warps=1,
            enable_fp_fusion=True,
        )
    return out.sum(0).to(v.dtype)


triton_recurrent = define_operator("gla_triton_recurrent", _forward, None, executed_macs=gla_macs)
