"""The selective scan as it is defined: one token at a time (Mamba, arXiv 2312.00752, algorithm 2, as released).

In float64 for float32 inputs, since this is the yardstick.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from vigbench.ops.precision import accumulation_dtype
from vigbench.ops.scan.operator import SOFTPLUS_THRESHOLD, ScanArguments, define_scan


class _Direction(NamedTuple):
    """One direction's tensors, in the dtype that sums are kept in, and its tokens in order."""

    u: Tensor  # (batch, length, dim)
    raw: Tensor
    step: Tensor
    A: Tensor  # (dim, state)
    B: Tensor  # (batch, length, state)
    C: Tensor
    order: range

    def advance(self, state: Tensor, t: int) -> Tensor:
        """The state after token t, (batch, dim, state)."""
        written = (self.step[:, t] * self.u[:, t]).unsqueeze(-1) * self.B[:, t].unsqueeze(1)
        return self.decay(t) * state + written

    def decay(self, t: int) -> Tensor:
        return (self.step[:, t].unsqueeze(-1) * self.A).exp()

    def empty_state(self) -> Tensor:
        return self.u.new_zeros(self.u.shape[0], *self.A.shape)


def _directions(given: ScanArguments) -> Iterator[_Direction]:
    dtype, tokens = accumulation_dtype(given.u.dtype), range(given.u.shape[2])
    for n, backward in enumerate(given.reverses()):
        raw = given.delta[n].to(dtype)
        if given.delta_bias is not None:
            raw = raw + given.delta_bias[n].to(dtype)
        step = F.softplus(raw, threshold=SOFTPLUS_THRESHOLD) if given.softplus else raw
        u, A, B, C = (x[n].to(dtype) for x in (given.u, given.A, given.B, given.C))
        yield _Direction(u, raw, step, A, B, C, tokens[::-1] if backward else tokens)


def _outputs(direction: _Direction) -> Tensor:
    out, state = torch.empty_like(direction.u), direction.empty_state()
    for t in direction.order:
        state = direction.advance(state, t)
        out[:, t] = torch.matmul(state, direction.C[:, t].unsqueeze(-1)).squeeze(-1)
    return out


def _forward(*arguments: Any) -> Tensor:
    given = ScanArguments(*arguments)
    out = _summed(list(_directions(given)), given.D)
    if given.z is not None:
        out = out * F.silu(given.z.to(out.dtype))
    return (given.scale * out).to(given.u.dtype)


def _summed(directions: list[_Direction], D: Tensor | None) -> Tensor:
    out = torch.zeros_like(directions[0].u)
    for n, direction in enumerate(directions):
        out += _outputs(direction)
        if D is not None:
            out += D[n].to(out.dtype) * direction.u
    return out


def _backward(grad: Tensor, *arguments: Any) -> list[Tensor]:
    given = ScanArguments(*arguments)
    directions = list(_directions(given))
    grad, d_z = given.scale * grad.to(directions[0].u.dtype), None
    if given.z is not None:
        gate = given.z.to(grad.dtype)
        d_z = torch.ops.aten.silu_backward(grad * _summed(directions, given.D), gate)
        grad = grad * F.silu(gate)
    grads = [_direction_gradients(direction, grad, given.softplus) for direction in directions]
    d_u, d_delta, d_A, d_B, d_C = (torch.stack(x) for x in zip(*grads, strict=True))
    d_D, d_bias = (grad * torch.stack([direction.u for direction in directions])).sum((1, 2)), d_delta.sum((1, 2))
    if given.D is not None:
        d_u += given.D.to(grad.dtype)[:, None, None] * grad
    return given.gradients(d_u, d_delta, d_A, d_B, d_C, d_D, d_z, d_bias)


def _direction_gradients(direction: _Direction, grad: Tensor, softplus: bool) -> list[Tensor]:
    """Of u (without D), delta, A, B and C."""
    u, raw, step, A, B, C, _ = direction
    d_u, d_step, d_A, d_B, d_C = (torch.zeros_like(x) for x in (u, step, A, B, C))
    d_state = direction.empty_state()
    for t, before, after in _states_backwards(direction):
        d_C[:, t] = torch.matmul(grad[:, t].unsqueeze(1), after).squeeze(1)
        d_state = d_state + grad[:, t].unsqueeze(-1) * C[:, t].unsqueeze(1)
        d_written = torch.matmul(d_state, B[:, t].unsqueeze(-1)).squeeze(-1)
        d_B[:, t] = torch.matmul((step[:, t] * u[:, t]).unsqueeze(1), d_state).squeeze(1)
        decay = direction.decay(t)
        d_log_decay = d_state * decay * before
        d_u[:, t] = d_written * step[:, t]
        d_step[:, t] = d_written * u[:, t] + (d_log_decay * A).sum(-1)
        d_A += (d_log_decay * step[:, t].unsqueeze(-1)).sum(0)
        d_state = d_state * decay
    d_raw = torch.ops.aten.softplus_backward(d_step, raw, 1, SOFTPLUS_THRESHOLD) if softplus else d_step
    return [d_u, d_raw, d_A, d_B, d_C]


def _states_backwards(direction: _Direction) -> Iterator[tuple[int, Tensor, Tensor]]:
    """(token, state before it, state after it) from the last step to the first, from sqrt(length) stored states."""
    order = direction.order
    stride = math.isqrt(len(order)) + 1
    state, stored = direction.empty_state(), []
    for n, t in enumerate(order):
        if n % stride == 0:
            stored.append(state)
        state = direction.advance(state, t)
    for n in reversed(range(len(stored))):
        tokens = order[n * stride : (n + 1) * stride]
        states = [stored.pop()]
        for t in tokens:
            states.append(direction.advance(states[-1], t))
        for i in reversed(range(len(tokens))):
            yield tokens[i], states[i], states[i + 1]


reference = define_scan("reference", _forward, _backward)
