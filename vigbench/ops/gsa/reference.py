"""Gated slot attention as it is defined: one token at a time.

Decay, write, softmax over the slots, read (GSA, arXiv 2409.07146, section 3.2), in float64 for float32 inputs, since
this is the yardstick.
"""

from typing import Any

import torch
from torch import Tensor

from vigbench.ops.gla.recurrence import by_token, empty_state, read, states_backwards, take_step
from vigbench.ops.gsa.cost import gsa_macs, recurrent_macs_backward
from vigbench.ops.gsa.operator import GsaArguments, SlotDirection, define_gsa
from vigbench.ops.inputs import require_decays


def _forward(*arguments: Any) -> Tensor:
    given = GsaArguments(*arguments)
    require_decays(*(way.g for way in given.directions()))
    q, k, v = (by_token(x, given.v) for x in given[:3])
    out, ways = torch.zeros_like(v), given.directions()
    for way in ways:
        s, decay = by_token(way.s, given.v), by_token(way.g, given.v).exp_()
        keys, values = empty_state(s, k), empty_state(s, v)
        for t in _order(way):
            take_step(keys, decay[t], s[t], k[t])
            take_step(values, decay[t], s[t], v[t])
            out[t] += read(_probabilities(q[t], keys, given.scale), values)
    return _by_batch(out.div_(len(ways)), given.v)


def _backward(grad: Tensor, *arguments: Any) -> list[Tensor]:
    given = GsaArguments(*arguments)
    q, k, v, do = (by_token(x, given.v) for x in (*given[:3], grad))
    dq, dk, dv = (torch.zeros_like(x) for x in (q, k, v))
    ways, ds, dg = given.directions(), [], []
    do /= len(ways)
    for way in ways:
        s, decay = by_token(way.s, given.v), by_token(way.g, given.v).exp_()
        of_keys, of_values = states_backwards(decay, s, k, _order(way)), states_backwards(decay, s, v, _order(way))
        d_keys, d_values = empty_state(s, k), empty_state(s, v)
        ds_, dg_ = torch.zeros_like(s), torch.zeros_like(s)
        for (t, keys_before, keys), (_, values_before, values) in zip(of_keys, of_values, strict=True):
            p = _probabilities(q[t], keys, given.scale)
            dp = read(do[t], values.mT)
            d_logits = p * (dp - (p * dp).sum(-1, keepdim=True)) * given.scale
            d_keys += d_logits.unsqueeze(-1) * q[t].unsqueeze(-2)
            d_values += p.unsqueeze(-1) * do[t].unsqueeze(-2)
            dq[t] += read(d_logits, keys)
            dk[t] += read(s[t], d_keys)
            dv[t] += read(s[t], d_values)
            ds_[t] = read(k[t], d_keys.mT) + read(v[t], d_values.mT)
            dg_[t] = decay[t] * ((keys_before * d_keys).sum(-1) + (values_before * d_values).sum(-1))
            d_keys *= decay[t].unsqueeze(-1)
            d_values *= decay[t].unsqueeze(-1)
        ds.append(ds_)
        dg.append(dg_)
    return [_by_batch(x, like) for x, like in zip((dq, dk, dv, *ds, *dg), given.tensors(), strict=True)]


def _order(way: SlotDirection) -> range:
    tokens = range(way.g.shape[1])
    return tokens[::-1] if way.reverse else tokens


def _probabilities(q: Tensor, keys: Tensor, scale: float) -> Tensor:
    """Of each slot, for one token; `keys` is the state of keys, (batch, heads, slots, key_dim)."""
    return (scale * read(q, keys.mT)).softmax(-1)


def _by_batch(x: Tensor, like: Tensor) -> Tensor:
    """(length, batch, ...) as (batch, length, ...), in the dtype of `like`."""
    return x.permute(1, 0, 2, 3).to(like.dtype, memory_format=torch.contiguous_format)


reference = define_gsa("reference", _forward, _backward, gsa_macs, recurrent_macs_backward)
