"""Heads that share queries and keys in groups, and what implementations in PyTorch ask of log-decays."""

from torch import Tensor


def spread(x: Tensor, v: Tensor) -> Tensor:
    """Queries or keys of groups, (batch, length, groups, key_dim), as each head of v sees them: a view."""
    groups, heads = x.shape[2], v.shape[2]
    return x.unsqueeze(3).expand(-1, -1, -1, heads // groups, -1).flatten(2, 3) if groups != heads else x


def sum_groups(grad: Tensor, x: Tensor) -> Tensor:
    """The gradient of x, (batch, length, groups, key_dim), from that of each head."""
    groups = x.shape[2]
    return grad.unflatten(2, (groups, -1)).sum(3) if groups != grad.shape[2] else grad


def check_decays(*gates: Tensor | None) -> None:
    """ValueError where a log-decay is positive: on a CPU, where looking at it waits for nothing."""
    for g in gates:
        if g is not None and g.device.type == "cpu" and (g > 0).any():
            raise ValueError(
                f"a log-decay is {g.max().item():.3g}, but states decay: pass values <= 0, such as logsigmoid(x), and "
                "for an SSD dt > 0 and a < 0"
            )
