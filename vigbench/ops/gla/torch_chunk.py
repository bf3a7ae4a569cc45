"""Chunkwise gated linear attention in plain PyTorch, for any device: forward and backward, one or two directions.

GLA, arXiv 2312.06635, section 4: pass 1 writes the state at every chunk boundary, pass 2 reads it and adds the
attention inside the chunk. Both directions share q, k, v, the score matrix and the passes. The backward saves nothing
but the inputs: it computes states and scores anew, and the gradients of the states by the same pass 1.
"""

from itertools import pairwise

import torch
from torch import Tensor

from vigbench.ops.gla.chunks import Chunks
from vigbench.ops.gla.cost import chunk_macs, chunk_macs_backward
from vigbench.ops.gla.decay import arrival, arrival_backward, departure, departure_backward
from vigbench.ops.gla.intra import scores, scores_backward
from vigbench.ops.gla.operator import define_gla
from vigbench.ops.inputs import require_decays


def _forward(q: Tensor, k: Tensor, v: Tensor, g_fwd: Tensor | None, g_bwd: Tensor | None, scale: float) -> Tensor:
    require_decays(g_fwd, g_bwd)
    chunks = Chunks(v)
    out = v.new_empty(v.shape)
    states = states_of_chunks(chunks, k, v, g_fwd, g_bwd)
    for segment in chunks.segments():
        directions = chunks.load_directions(g_fwd, g_bwd, segment)
        arrivals = [arrival(d) for d in directions]
        q_, k_, v_ = (chunks.load(x, segment) for x in (q, k, v))
        o = torch.bmm(scores(q_, k_, directions, arrivals), v_)
        for arrive, state in zip(arrivals, states, strict=True):
            o.baddbmm_(arrive.mul_(q_), state[segment].flatten(0, 1))
        chunks.store(out, segment, o.mul_(scale))
    return out


def _backward(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, g_fwd: Tensor | None, g_bwd: Tensor | None, scale: float
) -> list[Tensor]:
    chunks = Chunks(v)
    grads = [x.new_empty(x.shape) for x in (q, k, v, g_fwd, g_bwd) if x is not None]
    states = states_of_chunks(chunks, k, v, g_fwd, g_bwd)
    state_grads = states_of_chunks(chunks, q, grad, g_fwd, g_bwd, adjoint=True)
    for segment in chunks.segments():
        directions = chunks.load_directions(g_fwd, g_bwd, segment)
        arrivals = [arrival(d) for d in directions]
        q_, k_, v_, do = (chunks.load(x, segment) for x in (q, k, v, grad))
        dv = torch.bmm(scores(q_, k_, directions, arrivals).mT, do)
        dq, dk, dgs = scores_backward(torch.bmm(do, v_.mT), q_, k_, directions, arrivals)
        for n, (direction, arrive) in enumerate(zip(directions, arrivals, strict=True)):
            state, state_grad = states[n][segment].flatten(0, 1), state_grads[n][segment].flatten(0, 1)
            depart = departure(direction)
            dq_part = torch.bmm(do, state.mT).mul_(arrive)
            dk_part = torch.bmm(v_, state_grad.mT).mul_(depart)
            dv.baddbmm_(depart.mul_(k_), state_grad)
            dq += dq_part
            dk += dk_part
            passing = direction.g.sum(1).exp_() * (state * state_grad).sum(-1)
            dgs[n] += passing.unsqueeze(1)
            dgs[n] += arrival_backward(dq_part.mul_(q_), direction)
            dgs[n] += departure_backward(dk_part.mul_(k_), direction)
        for target, x in zip(grads, (dq, dk, dv, *dgs), strict=True):
            chunks.store(target, segment, x.mul_(scale))
    return grads


def states_of_chunks(
    chunks: Chunks, k: Tensor, v: Tensor, g_fwd: Tensor | None, g_bwd: Tensor | None, adjoint: bool = False
) -> list[Tensor]:
    """The state entering each chunk, (chunk, batch * heads, key_dim, value_dim), for each direction.

    With `adjoint`, given q and the output's gradient: the gradient of the state leaving each chunk, which travels
    against the direction.
    """
    reverses = [reverse != adjoint for g, reverse in ((g_fwd, False), (g_bwd, True)) if g is not None]
    shape = (chunks.count + 1, chunks.rows, k.shape[-1], v.shape[-1])
    slots = [torch.empty(shape, dtype=chunks.dtype, device=k.device) for _ in reverses]
    decays = [torch.empty(*shape[:-1], 1, dtype=chunks.dtype, device=k.device) for _ in reverses]
    for segment in chunks.segments():
        k_, v_ = chunks.load(k, segment), chunks.load(v, segment)
        for n, direction in enumerate(chunks.load_directions(g_fwd, g_bwd, segment)):
            weights = arrival(direction) if adjoint else departure(direction)
            first = segment.start if reverses[n] else segment.start + 1
            written = slice(first, first + segment.stop - segment.start)
            torch.bmm(weights.mul_(k_).mT, v_, out=slots[n][written].flatten(0, 1))
            decays[n][written] = direction.g.sum(1).exp_().view(decays[n][written].shape)
    return [accumulate(*each) for each in zip(slots, decays, reverses, strict=True)]


def accumulate(slots: Tensor, decays: Tensor, reverse: bool) -> Tensor:
    """What each chunk writes becomes the state that leaves it, in place; returned as the states that enter chunks.

    Slot n + 1 holds what chunk n writes, slot n in reverse; the one slot left over is the empty first state.
    """
    order = range(len(slots) - 1, -1, -1) if reverse else range(len(slots))
    states, factors = slots.unbind(0), decays.unbind(0)
    states[order[0]].zero_()
    for before, here in pairwise(order):
        states[here].addcmul_(factors[here], states[before])
    return slots[1:] if reverse else slots[:-1]


torch_chunk = define_gla("torch_chunk", _forward, _backward, chunk_macs, chunk_macs_backward)
