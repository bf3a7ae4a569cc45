"""Chunkwise scalar-decay linear attention in plain PyTorch, for any device, one or two directions.

The matrix form of SSD (arXiv 2405.21060, section 6) and of retention (arXiv 2307.08621, equation 7): scores inside a
chunk times a matrix of decays, states at chunk boundaries between them. A decay matrix has no channels, so that it is
computed as it is: any decay is exact. The backward saves nothing but the inputs.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from vigbench.ops.gla.chunks import Chunks
from vigbench.ops.gla.decay import Direction, arrival, arrival_backward, departure, departure_backward
from vigbench.ops.gla.torch_chunk import accumulate
from vigbench.ops.inputs import require_decays
from vigbench.ops.scalar_gla.cost import chunk_macs, chunk_macs_backward
from vigbench.ops.scalar_gla.heads import spread, sum_groups
from vigbench.ops.scalar_gla.operator import define_scalar_gla


class PairDecays(NamedTuple):
    """Of one direction in a segment of chunks: its log-decays, and the decay from token j to i, (chunk, i, j)."""

    direction: Direction
    decays: Tensor


def _forward(q: Tensor, k: Tensor, v: Tensor, g_fwd: Tensor | None, g_bwd: Tensor | None, scale: float) -> Tensor:
    require_decays(g_fwd, g_bwd)
    q, k = spread(q, v), spread(k, v)
    chunks = Chunks(v)
    out = v.new_empty(v.shape)
    states = _states(chunks, k, v, g_fwd, g_bwd)
    for segment in chunks.segments():
        q_, k_, v_ = (chunks.load(x, segment) for x in (q, k, v))
        directions = _load_pairs(chunks, g_fwd, g_bwd, segment)
        o = torch.bmm(torch.bmm(q_, k_.mT).mul_(_sum_decays(directions)), v_)
        for (direction, _), state in zip(directions, states, strict=True):
            o.baddbmm_(arrival(direction) * q_, state[segment].flatten(0, 1))
        chunks.store(out, segment, o.mul_(scale))
    return out


def _backward(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, g_fwd: Tensor | None, g_bwd: Tensor | None, scale: float
) -> list[Tensor]:
    groups = (q, k)
    q, k = spread(q, v), spread(k, v)
    chunks = Chunks(v)
    gates = [g for g in (g_fwd, g_bwd) if g is not None]
    grads = [x.new_empty(x.shape) for x in (q, k, v)]
    gate_grads = [g.new_empty(g.shape) for g in gates]
    states = _states(chunks, k, v, g_fwd, g_bwd)
    state_grads = _states(chunks, q, grad, g_fwd, g_bwd, adjoint=True)
    for segment in chunks.segments():
        q_, k_, v_, do = (chunks.load(x, segment) for x in (q, k, v, grad))
        directions = _load_pairs(chunks, g_fwd, g_bwd, segment)
        decays = _sum_decays(directions)
        scores, d_scores = torch.bmm(q_, k_.mT), torch.bmm(do, v_.mT)
        dv = torch.bmm((scores * decays).mT, do)
        weighted = decays.mul_(d_scores)
        dq, dk = torch.bmm(weighted, k_), torch.bmm(weighted.mT, q_)
        pairs = scores.mul_(d_scores)
        for n, (direction, decays) in enumerate(directions):
            state, state_grad = states[n][segment].flatten(0, 1), state_grads[n][segment].flatten(0, 1)
            arrive, depart = arrival(direction), departure(direction)
            dq_part = torch.bmm(do, state.mT).mul_(arrive)
            dk_part = torch.bmm(v_, state_grad.mT).mul_(depart)
            dv.baddbmm_(depart * k_, state_grad)
            dq += dq_part
            dk += dk_part
            passing = direction.g.sum(1, keepdim=True).exp_() * (state * state_grad).sum((-1, -2)).view(-1, 1, 1)
            dg = passing + departure_backward(dk_part.mul_(k_).sum(-1, keepdim=True), direction)
            dg += _inside_backward(pairs * decays, direction)
            dg += arrival_backward(dq_part.mul_(q_).sum(-1, keepdim=True), direction)
            chunks.store(gate_grads[n].unsqueeze(-1), segment, dg.mul_(scale))
        for target, x in zip(grads, (dq, dk, dv), strict=True):
            chunks.store(target, segment, x.mul_(scale))
    return [sum_groups(grads[0], groups[0]), sum_groups(grads[1], groups[1]), grads[2], *gate_grads]


def _load_pairs(chunks: Chunks, g_fwd: Tensor | None, g_bwd: Tensor | None, segment: slice) -> list[PairDecays]:
    directions = chunks.load_directions(_one_channel(g_fwd), _one_channel(g_bwd), segment)
    return [PairDecays(direction, _pair_decays(direction)) for direction in directions]


def _one_channel(g: Tensor | None) -> Tensor | None:
    """Log-decays as chunks take them, (batch, length, heads, 1)."""
    return None if g is None else g.unsqueeze(-1)


def _pair_decays(direction: Direction) -> Tensor:
    """exp(decay from token j to token i), (chunk, i, j), 0 where the direction meets j after i.

    Sums of just the log-decays in between, by adding them up: no difference of sums, which -inf has none of. What is
    not met is masked before the exponential, where it would overflow.
    """
    length = direction.g.shape[1]
    met = torch.ones(length, length, dtype=torch.bool, device=direction.g.device)
    met = met.triu(1) if direction.reverse else met.tril(-1)  # [t, j]: j is met before t
    steps = torch.where(met, direction.g, 0.0)
    sums = steps.flip(1).cumsum(1).flip(1) if direction.reverse else steps.cumsum(1)
    return sums.masked_fill_(~met, -torch.inf).exp_().diagonal_scatter(sums.new_ones(len(sums), length), 0, 1, 2)


def _sum_decays(directions: list[PairDecays]) -> Tensor:
    return directions[0].decays + directions[1].decays if len(directions) > 1 else directions[0].decays.clone()


def _inside_backward(pairs: Tensor, direction: Direction) -> Tensor:
    """Gradient of g from that of the logarithms of the decays between tokens, (chunk, i, j).

    At t that of all pairs which meet across it, added up as they are: rows less columns would be differences, whose
    rounding drowns what is left of a head's decay once all tokens are summed.
    """
    if direction.reverse:
        return pairs.cumsum(1).triu_(1).sum(2, keepdim=True)
    return pairs.flip(1).cumsum(1).flip(1).tril_(-1).sum(2, keepdim=True)


def _states(
    chunks: Chunks, k: Tensor, v: Tensor, g_fwd: Tensor | None, g_bwd: Tensor | None, adjoint: bool = False
) -> list[Tensor]:
    """The state entering each chunk, (chunk, batch * heads, key_dim, value_dim), for each direction.

    With `adjoint`, given q and the output's gradient: the gradient of the state leaving each chunk, which travels
    against the direction.
    """
    reverses = [reverse != adjoint for g, reverse in ((g_fwd, False), (g_bwd, True)) if g is not None]
    shape = (chunks.count + 1, chunks.rows, k.shape[-1], v.shape[-1])
    slots = [torch.empty(shape, dtype=chunks.dtype, device=k.device) for _ in reverses]
    decays = [torch.empty(*shape[:2], 1, 1, dtype=chunks.dtype, device=k.device) for _ in reverses]
    for segment in chunks.segments():
        k_, v_ = chunks.load(k, segment), chunks.load(v, segment)
        for n, direction in enumerate(chunks.load_directions(_one_channel(g_fwd), _one_channel(g_bwd), segment)):
            weights = arrival(direction) if adjoint else departure(direction)
            first = segment.start if reverses[n] else segment.start + 1
            written = slice(first, first + segment.stop - segment.start)
            torch.bmm((weights * k_).mT, v_, out=slots[n][written].flatten(0, 1))
            decays[n][written] = direction.g.sum(1).exp_().view(decays[n][written].shape)
    return [accumulate(*each) for each in zip(slots, decays, reverses, strict=True)]


torch_chunk = define_scalar_gla(
    "torch_chunk",
    _forward,
    _backward,
    chunk_macs,
    chunk_macs_backward,
    lambda dtype: torch.promote_types(dtype, torch.float32),
)
