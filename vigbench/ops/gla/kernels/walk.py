"""One walk: a program goes along a sequence, or a segment of it, in one direction, with the state in registers.

Beside the two passes (`states.py`, `outputs.py`): no state of a chunk reaches memory, and a chunk's exponentials serve
its outputs and the next state alike. Each direction writes an output of its own. Where there are few sequences they are
cut into segments, whose states come from a first walk (`states.py`, which then stores nothing else).
"""

import triton
import triton.language as tl

from vigbench.ops.gla.kernels.gates import load_log2_decay, load_log2_decays
from vigbench.ops.gla.kernels.states import at_state
from vigbench.ops.gla.kernels.sums import sums_of, tokens_seen, turned
from vigbench.ops.gla.kernels.tiles import dot, load_row, load_tile, place_of, put_row, store_tile, zeros
from vigbench.ops.gla.kernels.variant import value_block


@triton.jit
def _step(
    q, k, v, at, keys, values, state, g, total, seen, dtype: tl.constexpr, variant: tl.constexpr, to_end: tl.constexpr
):
    """Outputs of a chunk with mild decays, and the state that leaves it.

    Exponents are anchored at half of the chunk's log-decay, as in `outputs.split_decay`.
    """
    half = 0.5 * total
    if dtype == tl.float32:
        arrival = tl.cumsum(g, 0, reverse=not to_end) - half[None, :]
    else:
        arrival = sums_of(g, seen, dtype) - half[None, :]
    q_tile = (load_tile(q, at, keys, variant.key_dim) * tl.exp2(arrival)).to(dtype)
    k_turned = turned((load_tile(k, at, keys, variant.key_dim) * tl.exp2(-arrival)).to(dtype))
    v_tile = load_tile(v, at, values, variant.value_dim)
    scores = tl.where(seen > 0.0, dot(q_tile, k_turned, dtype), 0.0)
    factor = tl.exp2(half)[:, None]
    state = factor * state
    o = dot(q_tile, state, dtype) + dot(scores, v_tile, dtype)
    return o, factor * (state + dot(k_turned, v_tile, dtype))


@triton.jit
def _exact_step(q, k, v, gate, at, keys, values, state, variant: tl.constexpr, to_end: tl.constexpr):
    """The same of a chunk with any decays, token by token."""
    o = zeros(variant.chunk, variant.value_block)
    for n in range(variant.chunk):
        row = n if to_end else variant.chunk - 1 - n
        state = tl.exp2(load_log2_decay(gate, at, row, keys, variant))[:, None] * state
        k_row = load_row(k, at, row, keys, variant.key_dim)
        state += k_row[:, None] * load_row(v, at, row, values, variant.value_dim)[None, :]
        o = put_row(o, at, row, tl.sum(load_row(q, at, row, keys, variant.key_dim)[:, None] * state, 0))
    return o, state


@triton.jit
def _walk(
    q, k, v, gate, segments, out, length, segment_chunks, scale, batch, head, row, keys, values,
    variant: tl.constexpr, to_end: tl.constexpr,
):  # fmt: skip
    """One segment in one direction; `row` numbers the sequence among all states."""
    segment, count = tl.program_id(1), tl.num_programs(1)
    dtype: tl.constexpr = v.data.dtype.element_ty
    chunks = tl.cdiv(length, variant.chunk)
    first = segment * segment_chunks
    state = zeros(variant.key_block, variant.value_block)
    if variant.segmented:
        pointers, mask = at_state(segments, row * count + segment, keys, values, variant)
        state += tl.load(pointers, mask=mask, other=0.0).to(tl.float32)
    seen = tokens_seen(variant.chunk, not to_end, False)
    steps = tl.minimum(segment_chunks, chunks - first)
    for n in range(steps):
        chunk = first + n if to_end else first + steps - 1 - n
        at = place_of(batch, head, chunk, length, variant)
        g = load_log2_decays(gate, at, keys, variant)
        total = tl.sum(g, 0)
        if tl.min(total) >= -variant.mild:
            o, state = _step(q, k, v, at, keys, values, state, g, total, seen, dtype, variant, to_end)
        else:
            o, state = _exact_step(q, k, v, gate, at, keys, values, state, variant, to_end)
        store_tile(out, at, values, variant.value_dim, o * scale)


@triton.jit(do_not_specialize=["length", "segment_chunks"])
def walk_outputs(
    q, k, v, gate_fwd, gate_bwd, segments, out, beside, length, segment_chunks, scale,
    heads: tl.constexpr, variant: tl.constexpr,
):  # fmt: skip
    """Outputs of the forward direction, or of the only one, to `out`, of the backward one to `beside`.

    Grid: (heads * value blocks * directions, segments, batch): directions share q, k and v in the cache.
    """
    directions: tl.constexpr = variant.forward + variant.backward
    block, direction = tl.program_id(0) // directions, tl.program_id(0) % directions
    head, batch = block // variant.value_blocks, tl.program_id(2)
    values, keys = value_block(block % variant.value_blocks, variant), tl.arange(0, variant.key_block)
    row = (direction * tl.num_programs(2) + batch) * heads + head
    if variant.forward and direction == 0:
        _walk(
            q, k, v, gate_fwd, segments, out, length, segment_chunks, scale, batch, head, row, keys, values,
            variant, True,
        )  # fmt: skip
    else:
        _walk(
            q, k, v, gate_bwd, segments, beside, length, segment_chunks, scale, batch, head, row, keys, values,
            variant, False,
        )  # fmt: skip


@triton.jit  # a multiple of 16 is loaded in vectors
def add_beside(out, beside, elements, block: tl.constexpr):
    """The backward direction's outputs to the forward one's. Grid: (blocks of elements)."""
    n = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    total = tl.load(out + n, mask=n < elements).to(tl.float32) + tl.load(beside + n, mask=n < elements).to(tl.float32)
    tl.store(out + n, total.to(out.dtype.element_ty), mask=n < elements)
