"""Sums of log-decays inside a block of tokens: blocks are (block, token, key_dim).

No sum here is the difference of two others, so digits survive next to steps as large as -inf.
"""

from typing import NamedTuple

from torch import Tensor


class Direction(NamedTuple):
    """Log-decays of one direction; `reverse` travels from the last token to the first."""

    g: Tensor
    reverse: bool


def inclusive_sum(x: Tensor, from_end: bool) -> Tensor:
    """Sum from the first token (or from the last) up to and including each token."""
    return x.flip(1).cumsum(1).flip(1) if from_end else x.cumsum(1)


def exclusive_sum(x: Tensor, from_end: bool) -> Tensor:
    """Sum from the first token (or from the last) up to but excluding each token."""
    out = x.new_zeros(x.shape)
    if from_end:
        out[:, :-1] = inclusive_sum(x[:, 1:], True)
    else:
        out[:, 1:] = x[:, :-1].cumsum(1)
    return out


def arrival(direction: Direction) -> Tensor:
    """exp(decay of a state from where it enters the block to its use at each token), in [0, 1]."""
    return inclusive_sum(direction.g, from_end=direction.reverse).exp_()


def departure(direction: Direction) -> Tensor:
    """exp(decay of what each token writes until the state leaves the block), in [0, 1]."""
    return exclusive_sum(direction.g, from_end=not direction.reverse).exp_()


def arrival_backward(grad: Tensor, direction: Direction) -> Tensor:
    """Gradient of g from that of the logarithm of `arrival`."""
    return inclusive_sum(grad, from_end=not direction.reverse)


def departure_backward(grad: Tensor, direction: Direction) -> Tensor:
    """Gradient of g from that of the logarithm of `departure`."""
    return exclusive_sum(grad, from_end=direction.reverse)
