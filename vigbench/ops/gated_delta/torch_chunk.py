"""The chunkwise gated delta rule in plain PyTorch, for any device: forward and backward, one or two directions.

arXiv 2412.06464, section 3.3: inside a chunk a triangular system (`chunk.py`), from chunk to chunk the state, both in
matrix products. The backward saves nothing but the inputs: it keeps the state that enters each segment of chunks, and
goes through the segments from the last to the first, computing what is inside them anew.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from vigbench.ops.gated_delta.chunk import DeltaChunk
from vigbench.ops.gated_delta.cost import chunk_macs, chunk_macs_backward
from vigbench.ops.gated_delta.operator import DeltaGates, define_delta, directions_of
from vigbench.ops.gla.chunks import Chunks
from vigbench.ops.inputs import require_decays


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
    require_decays(g_fwd, g_bwd)
    chunks = Chunks(v)
    out = torch.zeros(v.shape, dtype=chunks.dtype, device=v.device)
    for gates in directions_of(g_fwd, g_bwd, beta_fwd, beta_bwd):
        walk = _DeltaWalk(chunks, gates)
        state = walk.empty_state(k, v)
        for segment in walk.segments():
            inside = _DeltaSegment(walk, segment, k, v, state)
            q_ = walk.load(q, segment)
            o = torch.bmm(q_ * inside.chunk.arrive, inside.states)
            scores = torch.bmm(q_, inside.k.mT).mul_(inside.chunk.decay)
            walk.add(out, segment, o.baddbmm_(scores, inside.u))
            state = inside.last
    return out.mul_(scale).to(v.dtype)


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
    chunks = Chunks(v)
    directions = list(directions_of(g_fwd, g_bwd, beta_fwd, beta_bwd))
    like = [q, k, v, *(d.g for d in directions), *(d.beta for d in directions)]
    sums = [torch.zeros(x.shape, dtype=chunks.dtype, device=v.device) for x in like]
    for n, gates in enumerate(directions):
        walk = _DeltaWalk(chunks, gates)
        targets = (*sums[:3], sums[3 + n], sums[3 + len(directions) + n])
        entering = [walk.empty_state(k, v)]
        for segment in walk.segments():
            entering.append(_DeltaSegment(walk, segment, k, v, entering[-1]).last)
        state_grad = torch.zeros_like(entering.pop())
        for segment in reversed(list(walk.segments())):
            inside = _DeltaSegment(walk, segment, k, v, entering.pop())
            *grads, state_grad = inside.backward(walk.load(q, segment), walk.load(grad, segment), state_grad)
            for target, x in zip(targets, grads, strict=True):
                walk.add(target, segment, x)
    return [x.mul_(scale).to(given.dtype) for x, given in zip(sums, like, strict=True)]


class _DeltaWalk:
    """Segments of a sequence in the order of one direction, chunks and tokens inside them, too."""

    def __init__(self, chunks: Chunks, gates: DeltaGates) -> None:
        self.chunks, self.gates = chunks, gates

    def segments(self) -> Iterator[slice]:
        """Ranges of chunks, the first one met first."""
        found = self.chunks.segments()
        return reversed(list(found)) if self.gates.reverse else found

    def load(self, x: Tensor, segment: slice) -> Tensor:
        """(chunk * batch * heads, token, dim), a token without channels as one channel."""
        return self._turned(self.chunks.load(x if x.ndim == 4 else x.unsqueeze(-1), segment))

    def add(self, out: Tensor, segment: slice, x: Tensor) -> None:
        """Add a segment where it belongs."""
        part = torch.empty_like(self._tokens(out, segment))
        self.chunks.store(part, slice(0, segment.stop - segment.start), self._turned(x))
        self._tokens(out, segment).add_(part)

    def empty_state(self, k: Tensor, v: Tensor) -> Tensor:
        """(batch * heads, key_dim, value_dim), of nothing."""
        shape = (self.chunks.rows, k.shape[-1], v.shape[-1])
        return torch.zeros(shape, dtype=self.chunks.dtype, device=v.device)

    def by_chunk(self, x: Tensor) -> Tensor:
        """(chunk, batch * heads, ...)."""
        rows = self.chunks.rows
        return x.view(len(x) // max(1, rows), rows, *x.shape[1:])

    def _turned(self, x: Tensor) -> Tensor:
        return self.by_chunk(x).flip(0, 2).flatten(0, 1) if self.gates.reverse else x

    def _tokens(self, x: Tensor, segment: slice) -> Tensor:
        size = self.chunks.size
        tokens = x[:, segment.start * size : segment.stop * size]
        return tokens if x.ndim == 4 else tokens.unsqueeze(-1)


class _DeltaSegment:
    """Some chunks: the states that enter them, what they write, and the state that leaves the last one."""

    def __init__(self, walk: _DeltaWalk, segment: slice, k: Tensor, v: Tensor, state: Tensor) -> None:
        self.walk = walk
        self.k, self.v, g, self.beta = (walk.load(x, segment) for x in (k, v, walk.gates.g, walk.gates.beta))
        self.chunk = DeltaChunk(self.k, g, self.beta)
        self.w, self.u = self.chunk.written(self.v)
        self.leaving_k = self.k * self.chunk.leave
        self.states = self.k.new_empty(len(self.k), *state.shape[1:])
        parts = (self.w, self.u, self.leaving_k, self.chunk.total, self.states)
        for w, u, leaving_k, total, entered in zip(*(walk.by_chunk(x) for x in parts), strict=True):
            entered.copy_(state)
            u.baddbmm_(w, state, alpha=-1)
            state = torch.baddbmm(total * state, leaving_k.mT, u)
        self.last = state

    def backward(self, q: Tensor, do: Tensor, state_grad: Tensor) -> tuple[Tensor, ...]:
        """Gradients of q, k, v, g and beta, and of the state that enters, from that of the state that leaves."""
        chunk, k, v, u = self.chunk, self.k, self.v, self.u
        arriving_q = q * chunk.arrive
        scores = torch.bmm(q, k.mT).mul_(chunk.decay)
        du = torch.bmm(scores.mT, do)
        state_grads, state_grad = self._state_grads(arriving_q, do, du, state_grad)
        d_right = chunk.solve_adjoint(du)

        d_scores = torch.bmm(do, u.mT)
        by_pair = d_scores * scores
        d_scores.mul_(chunk.decay)
        dk, dbeta, by_system = chunk.system_backward(d_right, u)
        dk.baddbmm_(d_scores.mT, q)
        read, held, left = (
            torch.bmm(x, y.mT) for x, y in ((do, self.states), (d_right, self.states), (u, state_grads))
        )
        dq = torch.bmm(d_scores, k).add_(read.mul_(chunk.arrive))
        held.mul_(chunk.arrive)
        left.mul_(chunk.leave)
        dk += left - self.beta * held
        known = (k * held).sum(-1, keepdim=True)
        dbeta += (d_right * v).sum(-1, keepdim=True) - known
        by_arrival = (q * read).sum(-1, keepdim=True) - self.beta * known
        by_departure = (k * left).sum(-1, keepdim=True)
        by_total = chunk.total * (self.states * state_grads).sum((1, 2)).view(-1, 1, 1)
        dg = chunk.decay_backward(by_pair.add_(by_system), by_arrival, by_departure, by_total)
        return dq, dk, self.beta * d_right, dg, dbeta, state_grad

    def _state_grads(self, q: Tensor, do: Tensor, du: Tensor, state_grad: Tensor) -> tuple[Tensor, Tensor]:
        """Those of states that leave chunks, and that of the state that enters; `du` is completed."""
        found = torch.empty_like(self.states)
        parts = (self.w, q, do, du, self.leaving_k, self.chunk.total, found)
        by_chunk = [self.walk.by_chunk(x) for x in parts]
        for n in reversed(range(len(by_chunk[0]))):
            w, q_, do_, du_, leaving_k, total, leaving = (x[n] for x in by_chunk)
            leaving.copy_(state_grad)
            du_.baddbmm_(leaving_k, state_grad)
            state_grad = torch.baddbmm(total * state_grad, q_.mT, do_).baddbmm_(w.mT, du_, alpha=-1)
        return found, state_grad


torch_chunk = define_delta("torch_chunk", _forward, _backward, chunk_macs, chunk_macs_backward)
