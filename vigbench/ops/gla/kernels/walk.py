"""One walk: a program goes along a sequence, or a segment of it, in one direction, with the state in registers.

Beside the two passes (`states.py`, `outputs.py`): no state of a chunk reaches memory, and a chunk's exponentials serve
its outputs and the next state alike. Two directions walk in two phases: each the half that it meets first, then, in a
launch of its own, the other half, to whose outputs it adds its own. Where there are few sequences halves are cut into
segments, whose states come from a first walk (`states.py`, which then stores nothing else).
"""

import triton
import triton.language as tl

from vigbench.ops.gla.kernels.features import load_feature_row, load_features
from vigbench.ops.gla.kernels.gates import load_log2_decay, load_projection, project_log2_decays
from vigbench.ops.gla.kernels.state import by_key, by_value, empty_state, load_state, outer, read, store_state
from vigbench.ops.gla.kernels.sums import split_decay
from vigbench.ops.gla.kernels.tiles import add_row, add_tile, dot, load_row, load_tile, place_of
from vigbench.ops.gla.kernels.variant import hands_over, segment_of, value_block


@triton.jit
def _step(
    q_tile, k_tile, v_tile, state, g, at, dtype: tl.constexpr, variant: tl.constexpr, to_end: tl.constexpr
):  # fmt: skip
    """Outputs of a chunk with mild decays, the state that leaves it, and half the chunk's log-decay."""
    arrive, leave, half = split_decay(g, variant.chunk, dtype, to_end)
    q_tile, k_tile = (q_tile * arrive).to(dtype), (k_tile * leave).to(dtype)
    behind = (at.rows[:, None] - at.rows[None, :]) if to_end else (at.rows[None, :] - at.rows[:, None])
    scores = tl.where(behind >= 0, dot(q_tile, tl.trans(k_tile), dtype), 0.0)
    factor = by_key(tl.exp2(half), variant.turned)
    state = factor * state
    o = read(q_tile, state, dtype, variant) + dot(scores, v_tile, dtype)
    return o, factor * (state + outer(k_tile, v_tile, dtype, variant)), half


@triton.jit
def _exact_step(
    q, k, v, gate, out, scale, at, keys, values, state, variant: tl.constexpr, to_end: tl.constexpr, phase: tl.constexpr
):
    """The same of a chunk with any decays, token by token."""
    turned: tl.constexpr = variant.turned
    for n in range(variant.chunk):
        row = n if to_end else variant.chunk - 1 - n
        k_row = by_key(load_feature_row(k, at, row, keys, variant), turned)
        v_row = by_value(load_row(v, at, row, values, variant.value_dim), turned)
        state = by_key(tl.exp2(load_log2_decay(gate, at, row, keys, variant)), turned) * state + k_row * v_row
        q_row = by_key(load_feature_row(q, at, row, keys, variant), turned)
        o = tl.sum(q_row * state, 1 if turned else 0) * scale
        add_row(out, at, row, values, variant.value_dim, o, phase == 1)
    return state


@triton.jit
def _walk(
    q, k, v, gate, entering, out, length, segment_chunks, scale, batch, head, row, keys, values,
    variant: tl.constexpr, to_end: tl.constexpr, phase: tl.constexpr,
):  # fmt: skip
    """One segment in one direction; `row` numbers the sequence among all states."""
    segment, segments = segment_of(to_end, variant, phase)
    dtype: tl.constexpr = v.data.dtype.element_ty
    chunks = tl.cdiv(length, variant.chunk)
    first = segment * segment_chunks
    number = row * segments + segment if variant.segmented else row
    state = empty_state(variant)
    if variant.segmented or phase == 1:
        state += load_state(entering, number, keys, values, variant)
    projection = load_projection(gate, head, keys, variant)
    steps = tl.minimum(segment_chunks, chunks - first)
    for n in range(steps):
        chunk = first + n if to_end else first + steps - 1 - n
        at = place_of(batch, head, chunk, length, variant)
        q_tile, k_tile = load_features(q, at, keys, variant), load_features(k, at, keys, variant)
        v_tile = load_tile(v, at, values, variant.value_dim)
        g = project_log2_decays(gate, projection, at, keys, variant)
        o, left, half = _step(q_tile, k_tile, v_tile, state, g, at, dtype, variant, to_end)
        o *= scale
        mild = tl.min(half) >= -0.5 * variant.mild
        written = place_of(batch, head, chunk, tl.where(mild, length, 0), variant)
        add_tile(out, written, values, variant.value_dim, o, phase == 1)
        if not mild:
            left = _exact_step(q, k, v, gate, out, scale, at, keys, values, state, variant, to_end, phase)
        state = left
    if hands_over(variant, phase):
        store_state(entering, number, keys, values, state, variant)


@triton.jit(do_not_specialize=["length", "segment_chunks"])
def walk_outputs(
    q, k, v, gate_fwd, gate_bwd, entering, out, length, segment_chunks, scale,
    heads: tl.constexpr, variant: tl.constexpr, phase: tl.constexpr,
):  # fmt: skip
    """Outputs of a phase, written or, in the second one, added.

    `entering`: the state that enters each segment, or, of whole halves, the one that the first phase hands over.
    Grid: (heads * value blocks * directions, segments of a phase, batch).
    """
    directions: tl.constexpr = variant.forward + variant.backward
    block, direction = tl.program_id(0) // directions, tl.program_id(0) % directions
    head, batch = block // variant.value_blocks, tl.program_id(2)
    values, keys = value_block(block % variant.value_blocks, variant), tl.arange(0, variant.key_block)
    row = (direction * tl.num_programs(2) + batch) * heads + head
    if variant.forward and direction == 0:
        _walk(
            q, k, v, gate_fwd, entering, out, length, segment_chunks, scale, batch, head, row, keys, values,
            variant, True, phase,
        )  # fmt: skip
    else:
        _walk(
            q, k, v, gate_bwd, entering, out, length, segment_chunks, scale, batch, head, row, keys, values,
            variant, False, phase,
        )  # fmt: skip
