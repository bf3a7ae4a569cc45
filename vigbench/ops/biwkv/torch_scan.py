"""Bi-WKV in linear time in plain PyTorch, for any device: forward and backward (Vision-RWKV, arXiv 2403.02308).

What a token gets from the tokens before it, and from those after it, are two running sums, computed together. Chunks
are summed side by side, then handed on from chunk to chunk, then walked through side by side: about 2 sqrt(length)
steps. A sum is kept relative to its largest log-weight, so that nothing overflows; log-weights are float64, so that
large keys and distances cost no digits. The backward saves nothing but the inputs and computes the sums anew.
"""

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from vigbench.ops.biwkv.chunks import EMPTY, chunk_size, load, positions, segments, store
from vigbench.ops.biwkv.cost import chunked_macs
from vigbench.ops.biwkv.operator import define_biwkv


class DirectionSums(NamedTuple):
    """sum_i exp(L_ti - top_t) x_i over the tokens i on one side of t; top is float64, dimension 2 of x has two sums."""

    top: Tensor
    x: Tensor


class Means(NamedTuple):
    """The result and what it is made of.

    `past` and `future`: sums of the values and of 1. `top` is the largest log-weight of a token, float64; `denominator`
    the sum of all weights relative to it; `own` the share of the token itself.
    """

    past: DirectionSums
    future: DirectionSums
    top: Tensor
    denominator: Tensor
    own: Tensor
    y: Tensor


def _forward(w: Tensor, u: Tensor, k: Tensor, v: Tensor) -> Tensor:
    out = v.new_empty(v.shape)
    dtype = torch.promote_types(v.dtype, torch.float32)
    for segment in segments(k):
        keys, values = load(k, segment, EMPTY, torch.float64), load(v, segment, 0.0, dtype)
        decay, bonus = (x[segment[1]].double() for x in (w, u))
        store(out, segment, _means(decay, bonus, keys, values).y)
    return out


def _backward(grad: Tensor, w: Tensor, u: Tensor, k: Tensor, v: Tensor) -> list[Tensor]:
    dtype = torch.promote_types(v.dtype, torch.float32)
    dw, du = (torch.zeros(x.shape, dtype=dtype, device=k.device) for x in (w, u))
    dk, dv = (x.new_empty(x.shape) for x in (k, v))
    for segment in segments(k):
        keys, values = load(k, segment, EMPTY, torch.float64), load(v, segment, 0.0, dtype)
        decay, bonus = (x[segment[1]].double() for x in (w, u))
        m = _means(decay, bonus, keys, values)
        share = load(grad, segment, 0.0, dtype).div_(m.denominator)  # each weight times it is a probability times grad
        before, after = _both_sides(decay, (-m.top).masked_fill_(keys == EMPTY, EMPTY), share, share * m.y)
        own = m.own * share
        own_key = own * (values - m.y)
        du[segment[1]] += own_key.sum((0, 1, 2))
        for sums in (before, after):
            weight = _exp(keys + sums.top, dtype)
            own += weight * sums.x[:, :, 0]
            own_key += weight * (values * sums.x[:, :, 0] - sums.x[:, :, 1])
        store(dv, segment, own)
        store(dk, segment, own_key)
        for sums, grads in ((m.past, after), (m.future, before)):  # each pair is seen by all tokens between the two
            through = sums.x[:, :, 0] * grads.x[:, :, 0] - sums.x[:, :, 1] * grads.x[:, :, 1]
            dw[segment[1]] -= through.mul_(_exp(sums.top + grads.top - decay, dtype)).sum((0, 1, 2))
    return [dw.to(w.dtype), du.to(u.dtype), dk, dv]


def _means(w: Tensor, u: Tensor, k: Tensor, v: Tensor) -> Means:
    past, future = _both_sides(w, k, v, torch.ones_like(v))
    own_top = k + u
    top = torch.maximum(past.top, future.top).clamp_(min=own_top)
    before, after, own = (_exp(x - top, v.dtype) for x in (past.top, future.top, own_top))
    total = (before.unsqueeze(2) * past.x).addcmul_(after.unsqueeze(2), future.x)
    numerator, denominator = total.unbind(2)
    denominator = denominator + own
    return Means(past, future, top, denominator, own, torch.addcmul(numerator, own, v).div_(denominator))


def _both_sides(w: Tensor, key: Tensor, *values: Tensor) -> tuple[DirectionSums, DirectionSums]:
    """For each token, two sums over the tokens before and over those after it; `key` is a token's own log-weight.

    Both walk the same way, through the sequence and through its mirror image, stacked.
    """
    place = positions(key)
    to_place = w * place
    keys = torch.stack((key + to_place, key.flip(0, 1) + to_place), 2)  # as seen from the first place
    x = torch.stack([torch.stack((each, each.flip(0, 1)), 2) for each in values], 2)
    chunk_keys = keys.amax(0)
    chunk_sums = (x * _exp(keys - chunk_keys, x.dtype).unsqueeze(2)).sum(0)
    nothing = torch.full_like(chunk_keys[0], EMPTY), torch.zeros_like(chunk_sums[0])
    tops, sums = _sums_before(keys, x, *_sums_before(chunk_keys, chunk_sums, *nothing))
    tops -= (w * (place - 1)).unsqueeze(2)
    (past, future), (x_past, x_future) = tops.unbind(2), sums.unbind(3)
    return DirectionSums(past, x_past), DirectionSums(future.flip(0, 1), x_future.flip(0, 1))


def _sums_before(key: Tensor, x: Tensor, first_key: Tensor, first_x: Tensor) -> tuple[Tensor, Tensor]:
    """Along dimension 0, sums of all rows before each one, the first row's being given; x has one dimension more."""
    keys = torch.cat((first_key.unsqueeze(0), key[:-1]))
    sums = torch.cat((first_x.unsqueeze(0), x[:-1]))
    tops = keys.clone()
    for before, top in pairwise(tops.unbind(0)):
        torch.maximum(before, top, out=top)
    sums *= _exp(keys - tops, x.dtype).unsqueeze(-4)
    kept = _exp(tops[:-1] - tops[1:], x.dtype).unsqueeze(-4)
    for (before, row), keep in zip(pairwise(sums.unbind(0)), kept.unbind(0), strict=True):
        row.addcmul_(keep, before)
    return tops, sums


def _exp(x: Tensor, dtype: torch.dtype) -> Tensor:
    return x.to(dtype).exp_()


torch_scan = define_biwkv(
    "torch_scan",
    _forward,
    _backward,
    # per token: two sums on two sides weighted as a chunk, weighted in it, decayed, read: 4 each; the token's own: 1
    chunked_macs(chunk_size, per_token=17, per_chunk=8),
    # the forward, the same sums of gradients, and what v, k and w get from them
    chunked_macs(chunk_size, per_token=17 + 13 + 14, per_chunk=16),
)
