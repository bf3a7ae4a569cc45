"""Attention inside a block of tokens whose decays are on what is read: each slot sums its own decayed scores.

As in gated linear attention (`vigbench.ops.gla.intra`) a block with mild decays is one product of factored
exponentials, and any other is halved, so that every factor is <= 1. Blocks are (block, token, dim).
"""

import torch
from torch import Tensor

from vigbench.ops.gla.decay import Direction, arrival, departure
from vigbench.ops.gla.intra import BRANCHING_DEVICES, across, halves, is_mild, source_half, target_half


def gated_sums(scores: Tensor, s: Tensor, direction: Direction, arrive: Tensor) -> Tensor:
    """sum over tokens j that are not after i of scores_ij s_j exp(decay from j to i), like s.

    `scores` is (block, token i, token j); of the others nothing counts. `arrive` is `arrival(direction)`.
    """
    if s.shape[1] == 1:
        return scores * s
    if s.device.type not in BRANCHING_DEVICES:
        return _halved(scores, s, direction)
    mild = is_mild([direction], [arrive])
    if mild.all():
        return _factored(scores, s, direction, arrive)
    if not mild.any():
        return _halved(scores, s, direction)
    out = torch.empty_like(s)
    for blocks in (mild, ~mild):
        inner = Direction(direction.g[blocks], direction.reverse)
        out[blocks] = gated_sums(scores[blocks], s[blocks], inner, arrive[blocks])
    return out


def _factored(scores: Tensor, s: Tensor, direction: Direction, arrive: Tensor) -> Tensor:
    causal = scores.triu() if direction.reverse else scores.tril()
    return torch.bmm(causal, s / arrive).mul_(arrive)


def _halved(scores: Tensor, s: Tensor, direction: Direction) -> Tensor:
    half = s.shape[1] // 2
    inner = Direction(halves(direction.g), direction.reverse)
    arrive = arrival(inner)
    within = torch.stack((scores[:, :half, :half], scores[:, half:, half:]), 1).flatten(0, 1)
    out = gated_sums(within, halves(s), inner, arrive).view_as(s)
    leaving = source_half(s, direction) * departure(Direction(source_half(direction.g, direction), direction.reverse))
    arrived = torch.bmm(across(scores, direction), leaving).mul_(target_half(arrive.view_as(s), direction))
    target_half(out, direction).add_(arrived)
    return out
