"""Bi-WKV as it is defined: a softmax over all pairs of tokens (Vision-RWKV, arXiv 2403.02308).

In float64 for float32 inputs, since this is the yardstick. Queries and channels are taken in blocks, so that memory
stays bounded; time is quadratic in the length.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from vigbench.ops.biwkv.cost import pairs_macs, pairs_macs_backward
from vigbench.ops.biwkv.operator import define_biwkv
from vigbench.ops.precision import accumulation_dtype

BLOCK_ELEMENTS = 2**22  # of a matrix of pairs held at once: 32 MiB in float64


def _forward(w: Tensor, u: Tensor, k: Tensor, v: Tensor) -> Tensor:
    out = torch.empty(v.shape, dtype=v.dtype, device=v.device)
    for image, queries, channels in _blocks(k):
        keys, values = _columns(k, image, channels), _columns(v, image, channels)
        p = _probabilities(keys, _row(w, channels, k), _row(u, channels, k), queries)
        out[image, queries, channels] = _mean(p, values).mT.to(out.dtype)
    return out


def _backward(grad: Tensor, w: Tensor, u: Tensor, k: Tensor, v: Tensor) -> list[Tensor]:
    dtype = accumulation_dtype(k.dtype)
    dw, du, dk, dv = (torch.zeros(x.shape, dtype=dtype, device=k.device) for x in (w, u, k, v))
    for image, queries, channels in _blocks(k):
        keys, values, do = (_columns(x, image, channels) for x in (k, v, grad))
        p = _probabilities(keys, _row(w, channels, k), _row(u, channels, k), queries)
        y = _mean(p, values)
        p *= do[:, queries].unsqueeze(-1)
        dv[image, :, channels] += p.sum(1).mT
        logits = p * (values.unsqueeze(1) - y.unsqueeze(-1))  # their gradient
        dk[image, :, channels] += logits.sum(1).mT
        self_logits = _diagonal(logits, queries)
        du[channels] += self_logits.sum(-1)
        self_logits.zero_()
        dw[channels] -= (logits * _distances(keys, queries)).sum((1, 2))
    return [x.to(like.dtype) for x, like in zip((dw, du, dk, dv), (w, u, k, v), strict=True)]


def _blocks(k: Tensor) -> Iterator[tuple[int, slice, slice]]:
    """(image, queries, channels) of blocks of at most BLOCK_ELEMENTS pairs, if one query of one channel has no more."""
    batch, length, channels = k.shape
    queries = max(1, min(length, BLOCK_ELEMENTS // length))
    width = max(1, min(channels, BLOCK_ELEMENTS // (length * queries)))
    for image in range(batch):
        for query in range(0, length, queries):
            for channel in range(0, channels, width):
                yield image, slice(query, min(query + queries, length)), slice(channel, channel + width)


def _columns(x: Tensor, image: int, channels: slice) -> Tensor:
    """(channels, length), in the dtype that sums are kept in."""
    return x[image, :, channels].mT.to(accumulation_dtype(x.dtype), memory_format=torch.contiguous_format)


def _row(x: Tensor, channels: slice, k: Tensor) -> Tensor:
    """(channels, 1), in the dtype that sums of k are kept in."""
    return x[channels].to(accumulation_dtype(k.dtype)).unsqueeze(-1)


def _distances(k: Tensor, queries: slice) -> Tensor:
    """|t - i| - 1, (queries, length), of k, (channels, length)."""
    tokens = torch.arange(k.shape[1], device=k.device, dtype=k.dtype)
    return (tokens[queries].unsqueeze(-1) - tokens).abs_().sub_(1)


def _diagonal(pairs: Tensor, queries: slice) -> Tensor:
    """A view of what (channels, queries, length) holds of each query with itself, (channels, queries)."""
    return pairs.diagonal(queries.start, 1, 2)


def _probabilities(k: Tensor, w: Tensor, u: Tensor, queries: slice) -> Tensor:
    """p of k, (channels, length), for some queries: (channels, queries, length)."""
    logits = k.unsqueeze(1) - w.unsqueeze(-1) * _distances(k, queries)
    _diagonal(logits, queries).copy_(k[:, queries] + u)
    return torch.softmax(logits, -1)


def _mean(p: Tensor, values: Tensor) -> Tensor:
    """(channels, queries)."""
    return torch.matmul(p, values.unsqueeze(-1)).squeeze(-1)


reference = define_biwkv("reference", _forward, _backward, pairs_macs, pairs_macs_backward)
