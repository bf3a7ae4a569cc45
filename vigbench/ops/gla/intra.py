"""Attention inside a block of tokens: scores of all directions in one matrix, and their gradient.

A block whose decays are mild is one product of factored exponentials (GLA, arXiv 2312.06635, section 4.3). Any
other block is halved: from one half to the other, decay is the product of two factors <= 1 that meet at the middle, so
nothing overflows and nothing cancels, and the halves are blocks of their own. On devices that run behind the host all
blocks are halved. Blocks are (block, token, dim).
"""

import math

import torch
from torch import Tensor

from vigbench.ops.gla.decay import Direction, arrival, arrival_backward, departure, departure_backward

Gradients = tuple[Tensor, Tensor, list[Tensor]]  # of q, of k, of g in each direction

BRANCHING_DEVICES = (
    "cpu",
)  # elsewhere the host would wait for the device to see the decays, and no graph could be captured
MILD_LOG_DECAY = {torch.float32: 8.0, torch.float64: 40.0}  # rounding grows with it: 8 costs 2e-7, 40 costs 4e-15


def scores(q: Tensor, k: Tensor, directions: list[Direction], arrivals: list[Tensor]) -> Tensor:
    """sum over directions of q_i exp(decay from j to i) k_j where j is not after i: (block, token i, token j).

    The diagonal counts once in each direction. `arrivals` are `arrival(direction)` for each.
    """
    if q.shape[1] == 1:
        return len(directions) * (q * k).sum(-1, keepdim=True)
    if q.device.type not in BRANCHING_DEVICES:
        return _halved_scores(q, k, directions)
    mild = is_mild(directions, arrivals)
    if mild.all():
        return _factored_scores(q, k, directions, arrivals)
    if not mild.any():
        return _halved_scores(q, k, directions)
    out = q.new_empty(*q.shape[:2], q.shape[1])
    for blocks in (mild, ~mild):
        out[blocks] = scores(q[blocks], k[blocks], *_select(blocks, directions, arrivals))
    return out


def scores_backward(
    grad: Tensor, q: Tensor, k: Tensor, directions: list[Direction], arrivals: list[Tensor]
) -> Gradients:
    """Gradients of q, k and each g from that of the scores."""
    if q.shape[1] == 1:
        both = len(directions) * grad
        return both * k, both * q, [torch.zeros_like(q) for _ in directions]
    if q.device.type not in BRANCHING_DEVICES:
        return _halved_scores_backward(grad, q, k, directions)
    mild = is_mild(directions, arrivals)
    if mild.all():
        return _factored_scores_backward(grad, q, k, directions, arrivals)
    if not mild.any():
        return _halved_scores_backward(grad, q, k, directions)
    dq, dk, dgs = torch.empty_like(q), torch.empty_like(k), [torch.empty_like(q) for _ in directions]
    for blocks in (mild, ~mild):
        chosen = _select(blocks, directions, arrivals)
        dq[blocks], dk[blocks], parts = scores_backward(grad[blocks], q[blocks], k[blocks], *chosen)
        for dg, part in zip(dgs, parts, strict=True):
            dg[blocks] = part
    return dq, dk, dgs


def is_mild(directions: list[Direction], arrivals: list[Tensor]) -> Tensor:
    limit = math.exp(-MILD_LOG_DECAY[arrivals[0].dtype])
    least = [a[:, 0 if d.reverse else -1].amin(-1) for d, a in zip(directions, arrivals, strict=True)]
    return torch.stack(least).amin(0) >= limit


def _select(
    blocks: Tensor, directions: list[Direction], arrivals: list[Tensor]
) -> tuple[list[Direction], list[Tensor]]:
    return [Direction(d.g[blocks], d.reverse) for d in directions], [a[blocks] for a in arrivals]


def _factored_scores(q: Tensor, k: Tensor, directions: list[Direction], arrivals: list[Tensor]) -> Tensor:
    total: Tensor | None = None
    for direction, arrive in zip(directions, arrivals, strict=True):
        part = torch.bmm(q * arrive, (k / arrive).mT)
        part = part.triu_() if direction.reverse else part.tril_()
        total = part if total is None else total.add_(part)
    assert total is not None
    return total


def _factored_scores_backward(
    grad: Tensor, q: Tensor, k: Tensor, directions: list[Direction], arrivals: list[Tensor]
) -> Gradients:
    # The diagonal knows no decay: it stays out of the products, where its large terms would drown the gradient of g.
    diagonal = len(directions) * grad.diagonal(dim1=1, dim2=2).unsqueeze(-1)
    dq, dk, dgs = diagonal * k, diagonal * q, []
    for direction, arrive in zip(directions, arrivals, strict=True):
        masked = grad.triu(1) if direction.reverse else grad.tril(-1)
        dq_part = torch.bmm(masked, k / arrive).mul_(arrive)
        dk_part = torch.bmm(masked.mT, q * arrive).div_(arrive)
        dq += dq_part
        dk += dk_part
        dgs.append(arrival_backward(dq_part.mul_(q).sub_(dk_part.mul_(k)), direction))
    return dq, dk, dgs


def halves(x: Tensor) -> Tensor:
    """(block, token, ...) to (block * 2, token / 2, ...)."""
    return x.reshape(-1, x.shape[1] // 2, *x.shape[2:])


def source_half(x: Tensor, direction: Direction) -> Tensor:
    """The half of the tokens that a direction meets first."""
    return x.chunk(2, dim=1)[1 if direction.reverse else 0]


def target_half(x: Tensor, direction: Direction) -> Tensor:
    """The half of the tokens that a direction meets last."""
    return x.chunk(2, dim=1)[0 if direction.reverse else 1]


def across(matrix: Tensor, direction: Direction) -> Tensor:
    """The quadrant of scores from the source half (columns) to the target half (rows)."""
    return target_half(matrix, direction).chunk(2, dim=2)[1 if direction.reverse else 0]


def _halved_scores(q: Tensor, k: Tensor, directions: list[Direction]) -> Tensor:
    half = q.shape[1] // 2
    inner = [Direction(halves(d.g), d.reverse) for d in directions]
    arrivals = [arrival(d) for d in inner]
    within = scores(halves(q), halves(k), inner, arrivals).view(-1, 2, half, half)
    out = q.new_zeros(*q.shape[:2], q.shape[1])
    out[:, :half, :half], out[:, half:, half:] = within[:, 0], within[:, 1]
    for d, arrive in zip(directions, arrivals, strict=True):
        arriving = target_half(q, d) * target_half(arrive.view_as(q), d)
        leaving = source_half(k, d) * departure(Direction(source_half(d.g, d), d.reverse))
        across(out, d).copy_(torch.bmm(arriving, leaving.mT))
    return out


def _halved_scores_backward(grad: Tensor, q: Tensor, k: Tensor, directions: list[Direction]) -> Gradients:
    half = q.shape[1] // 2
    inner = [Direction(halves(d.g), d.reverse) for d in directions]
    arrivals = [arrival(d) for d in inner]
    within = torch.stack((grad[:, :half, :half], grad[:, half:, half:]), 1).flatten(0, 1)
    dq, dk, dgs = scores_backward(within, halves(q), halves(k), inner, arrivals)
    dq, dk, dgs = dq.view_as(q), dk.view_as(k), [dg.view_as(q) for dg in dgs]
    for d, arrive, dg in zip(directions, arrivals, dgs, strict=True):
        source, target = Direction(source_half(d.g, d), d.reverse), Direction(target_half(d.g, d), d.reverse)
        arrive, depart = target_half(arrive.view_as(q), d), departure(source)
        dq_part = torch.bmm(across(grad, d), source_half(k, d) * depart).mul_(arrive)
        dk_part = torch.bmm(across(grad, d).mT, target_half(q, d) * arrive).mul_(depart)
        target_half(dq, d).add_(dq_part)
        source_half(dk, d).add_(dk_part)
        target_half(dg, d).add_(arrival_backward(dq_part.mul_(target_half(q, d)), target))
        source_half(dg, d).add_(departure_backward(dk_part.mul_(source_half(k, d)), source))
    return dq, dk, dgs
