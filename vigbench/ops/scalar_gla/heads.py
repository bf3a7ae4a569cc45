"""Heads of values that share queries and keys in groups."""

from torch import Tensor


def spread(x: Tensor, v: Tensor) -> Tensor:
    """Queries or keys of groups, (batch, length, groups, key_dim), as each head of v sees them: a view."""
    groups, heads = x.shape[2], v.shape[2]
    return x.unsqueeze(3).expand(-1, -1, -1, heads // groups, -1).flatten(2, 3) if groups != heads else x


def sum_groups(grad: Tensor, x: Tensor) -> Tensor:
    """The gradient of x, (batch, length, groups, key_dim), from that of each head."""
    groups = x.shape[2]
    return grad.unflatten(2, (groups, -1)).sum(3) if groups != grad.shape[2] else grad
