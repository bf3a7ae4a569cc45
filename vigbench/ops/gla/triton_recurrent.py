"""ViG's own inference kernel: token by token, both directions in one launch (arXiv 2405.18425, section 3.3).

A program owns a block of value channels of one sequence, head and direction, and keeps its state in registers, in
float32. Each direction writes its own output; they are added afterwards.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from vigbench.ops import kernel_launch
from vigbench.ops.gla.kernels.tiles import GlaPlace, load_row, view
from vigbench.ops.gla.operator import define_gla
from vigbench.ops.launch_plan import planned
from vigbench.ops.precision import refuse_float64

VALUE_BLOCK = 16  # a state of 32 x 16 is 16 registers a thread in one warp


@triton.jit(do_not_specialize=["length"])
def recurrence(
    q, k, v, gate_fwd, gate_bwd, out, length, scale, heads: tl.constexpr, key_dim: tl.constexpr,
    value_dim: tl.constexpr, key_block: tl.constexpr, value_block: tl.constexpr, first_direction: tl.constexpr,
):  # fmt: skip
    """Grid: (value blocks, batch * heads, directions); out is (direction, batch, length, heads, value_dim)."""
    row, output = tl.program_id(1), tl.program_id(2).to(tl.int64)
    reverse = output + first_direction
    keys = tl.arange(0, key_block)
    values = tl.program_id(0) * value_block + tl.arange(0, value_block)
    batch, head = (row // heads).to(tl.int64), row % heads
    at = GlaPlace(batch, head, batch * 0, length, keys, keys < key_dim)
    first_out = out + (output * tl.num_programs(1) // heads + batch) * length * heads * value_dim + head * value_dim
    state = tl.zeros((key_block, value_block), dtype=tl.float32)
    for step in range(length):
        t = step + reverse * (length - 1 - 2 * step)
        if reverse == 0:  # noqa: SIM108  a ternary would load both
            g = load_row(gate_fwd, at, t, keys, key_dim)
        else:
            g = load_row(gate_bwd, at, t, keys, key_dim)
        written = load_row(k, at, t, keys, key_dim)[:, None] * load_row(v, at, t, values, value_dim)[None, :]
        state = state * tl.exp(g)[:, None] + written
        read = tl.sum(load_row(q, at, t, keys, key_dim)[:, None] * state, 0) * scale
        tl.store(first_out + t * heads * value_dim + values, read, mask=values < value_dim)


def _forward(q: Tensor, k: Tensor, v: Tensor, g_fwd: Tensor | None, g_bwd: Tensor | None, scale: float) -> Tensor:
    refuse_float64(v, "use torch_chunk")
    if v.numel() == 0:
        return v.new_empty(v.shape)
    return _planned_forward(q, k, v, g_fwd, g_bwd, scale).sum(0).to(v.dtype)


@planned
def _planned_forward(
    q: Tensor, k: Tensor, v: Tensor, g_fwd: Tensor | None, g_bwd: Tensor | None, scale: float
) -> Tensor:
    """Of each direction, (directions, batch, length, heads, value_dim) in float32."""
    batch, length, heads, value_dim = v.shape
    gates = [g for g in (g_fwd, g_bwd) if g is not None]
    out = torch.empty(len(gates), *v.shape, dtype=torch.float32, device=v.device)
    constants = {
        "heads": heads,
        "key_dim": q.shape[-1],
        "value_dim": value_dim,
        "key_block": triton.next_power_of_2(q.shape[-1]),
        "value_block": VALUE_BLOCK,
        "first_direction": 0 if g_fwd is not None else 1,
    }
    grid = (triton.cdiv(value_dim, VALUE_BLOCK), batch * heads, len(gates))
    args = (view(q), view(k), view(v), view(gates[0]), view(gates[-1]), out, length, scale)
    kernel_launch.launch_kernel(recurrence, grid, v.device, args, constants, warps=1, stages=2)
    return out


triton_recurrent = define_gla("triton_recurrent", _forward, None)
