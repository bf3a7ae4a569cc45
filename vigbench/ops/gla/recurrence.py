"""Recurrences token by token, for references: tensors as (length, batch, heads, dim), states in place."""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from vigbench.ops.precision import accumulation_dtype


def directions_of(g_fwd: Tensor | None, g_bwd: Tensor | None) -> Iterator[tuple[Tensor, range]]:
    """Log-decays of each direction there is, and its tokens in order."""
    if g_fwd is not None:
        yield g_fwd, range(g_fwd.shape[1])
    if g_bwd is not None:
        yield g_bwd, range(g_bwd.shape[1] - 1, -1, -1)


def by_token(x: Tensor, v: Tensor) -> Tensor:
    """A copy as (length, batch, heads, dim), in the dtype that sums are kept in."""
    return x.transpose(0, 1).to(accumulation_dtype(v.dtype), copy=True).contiguous()


def empty_state(k: Tensor, v: Tensor) -> Tensor:
    """A state of nothing, (batch, heads, key_dim, value_dim)."""
    return k.new_zeros(*k.shape[1:], v.shape[-1])


def take_step(state: Tensor, decay: Tensor, k: Tensor, v: Tensor) -> None:
    """Decay a state and write to it."""
    state.mul_(decay.unsqueeze(-1)).addcmul_(k.unsqueeze(-1), v.unsqueeze(-2))


def read(x: Tensor, state: Tensor) -> Tensor:
    """x S."""
    return torch.matmul(x.unsqueeze(-2), state).squeeze(-2)


def states_backwards(decay: Tensor, k: Tensor, v: Tensor, order: range) -> Iterator[tuple[int, Tensor, Tensor]]:
    """(token, state before it, state after it) from the last step to the first."""
    return walk_back(order, empty_state(k, v), lambda state, t: take_step(state, decay[t], k[t], v[t]))


def walk_back(
    order: range, state: Tensor, take: Callable[[Tensor, int], object]
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """The same of any steps, `take(state, token)` in place, from sqrt(length) stored states; `state` is overwritten."""
    stride = math.isqrt(len(order)) + 1
    stored = []
    for n, t in enumerate(order):
        if n % stride == 0:
            stored.append(state.clone())
        take(state, t)
    for n in reversed(range(len(stored))):
        tokens = order[n * stride : (n + 1) * stride]
        states = [stored.pop()]
        for t in tokens:
            states.append(states[-1].clone())
            take(states[-1], t)
        for i in reversed(range(len(tokens))):
            yield tokens[i], states[i], states[i + 1]
