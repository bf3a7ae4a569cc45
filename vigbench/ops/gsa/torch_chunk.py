"""Chunkwise gated slot attention in plain PyTorch, for any device: forward and backward, one or two directions.

GSA, arXiv 2409.07146, section 3.3: two passes of gated linear attention (GLA), joined by a softmax over the slots. The
second pass, over the values, and the gradients of both are `vigbench.ops.gla.torch_chunk`'s. The first one, over the
keys, gives logits, and its gate is on what is read. The gradient of GLA's queries has that form, dq_i = sum over j of
(do_i v_j) k_j exp(decay from j to i), with q, k and s as do, v and k; so its own gradients are GLA's output and
gradients again. Nothing but the inputs is saved for the backward.
"""

from typing import Any

import torch
from torch import Tensor

from vigbench.ops.gla.chunks import Chunks
from vigbench.ops.gla.decay import arrival
from vigbench.ops.gla.torch_chunk import _backward as gla_backward
from vigbench.ops.gla.torch_chunk import _forward as gla_forward
from vigbench.ops.gla.torch_chunk import states_of_chunks
from vigbench.ops.gsa.cost import chunk_macs, chunk_macs_backward
from vigbench.ops.gsa.operator import GsaArguments, SlotDirection, define_gsa
from vigbench.ops.gsa.value_gate import gated_sums


def _forward(*arguments: Any) -> Tensor:
    given = _in_full_precision(GsaArguments(*arguments))
    ways = given.directions()
    outputs = [
        gla_forward(_probabilities(given.q, given.k, way, given.scale), way.s, given.v, *way.gates, 1 / len(ways))
        for way in ways
    ]
    return sum(outputs[1:], outputs[0]).to(arguments[2].dtype)


def _backward(grad: Tensor, *arguments: Any) -> list[Tensor]:
    given = _in_full_precision(GsaArguments(*arguments))
    q, k, v = given[:3]
    ways, scale = given.directions(), given.scale
    grad = grad.to(v.dtype)
    of_qkv, of_s, of_g = [torch.zeros_like(x) for x in (q, k, v)], [], []
    for way in ways:
        p = _probabilities(q, k, way, scale)
        dp, ds, dv, dg = gla_backward(grad, p, way.s, v, *way.gates, 1 / len(ways))
        d_logits = _logit_gradients(dp, p)
        del p, dp
        dq = gla_forward(d_logits, way.s, k, *way.gates, scale)
        _, ds_of_keys, dk, dg_of_keys = gla_backward(q, d_logits, way.s, k, *way.gates, scale)
        for total, part in zip(of_qkv, (dq, dk, dv), strict=True):
            total += part
        of_s.append(ds.add_(ds_of_keys))
        of_g.append(dg.add_(dg_of_keys))
    likes = GsaArguments(*arguments).tensors()
    return [x.to(like.dtype) for x, like in zip((*of_qkv, *of_s, *of_g), likes, strict=True)]


def _in_full_precision(given: GsaArguments) -> GsaArguments:
    """Half precision as float32, so that sums over passes and directions are rounded once."""
    dtype = torch.promote_types(given.v.dtype, torch.float32)
    arguments: list[Any] = [x.to(dtype) if isinstance(x, Tensor) else x for x in given]
    return GsaArguments(*arguments)


def _probabilities(q: Tensor, k: Tensor, way: SlotDirection, scale: float) -> Tensor:
    """The first pass: of each slot, like s."""
    chunks = Chunks(k)
    out = torch.empty_like(way.s)
    (states,) = states_of_chunks(chunks, way.s, k, *way.gates)
    for segment in chunks.segments():
        (direction,) = chunks.load_directions(*way.gates, segment)
        arrive = arrival(direction)
        q_, k_, s_ = (chunks.load(x, segment) for x in (q, k, way.s))
        logits = torch.bmm(q_, states[segment].flatten(0, 1).mT).mul_(arrive)
        logits += gated_sums(torch.bmm(q_, k_.mT), s_, direction, arrive)
        chunks.store(out, segment, logits.mul_(scale).softmax(-1))
    return out


def _logit_gradients(dp: Tensor, p: Tensor) -> Tensor:
    """p (dp - sum of p dp), changing dp.

    Twice, for p sums to 1 but for rounding, and the keys of the slots, which gradients of logits meet, are much alike.
    """
    for _ in range(2):
        dp -= (p * dp).sum(-1, keepdim=True)
    return dp.mul_(p)


torch_chunk = define_gsa("torch_chunk", _forward, _backward, chunk_macs, chunk_macs_backward)
