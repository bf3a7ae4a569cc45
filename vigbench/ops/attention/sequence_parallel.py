"""Softmax attention of a sequence that is cut over the ranks of a torch.distributed group.

Keys and values of every part visit every rank, so that what is sent grows with the parts' length, unlike the states of
`sequence_parallel_gla`. See docs/sequence-parallel.md.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.distributed import ProcessGroup

from vigbench.ops.attention.blockwise import BlockwiseAttention, BlockwiseGradients
from vigbench.ops.attention.key_exchange import GatheredKeys, KeyExchange, RingKeys
from vigbench.ops.communication import Ranks, agree, check_exchange, differentiated, ranks_of
from vigbench.ops.precision import DTYPES

ALONE = Ranks(cast("ProcessGroup", None), 0, 1)  # a group of one sends nothing
EXCHANGES: dict[str, Callable[[Tensor, Sequence[int], Ranks], KeyExchange]] = {
    "all_gather": GatheredKeys,
    "ring": RingKeys,
}


def sequence_parallel_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    scale: float | None = None,
    causal: bool = False,
    group: ProcessGroup | None = None,
    exchange: str = "all_gather",
) -> Tensor:
    """softmax(scale q k^T) v of a sequence of which each rank has consecutive tokens, rank 0 the first.

    Every rank of the group calls it, and the backward of what it computes, in the same order. Gradients are those of
    the sum of what the ranks differentiate. The backward asks for keys and values again, so that memory stays linear in
    a part's length; with "all_gather" linear in that of the whole sequence while it runs.

    Args:
        q, k: this rank's tokens, (batch, length, heads, key_dim), at least one; lengths may differ between ranks,
            nothing else. One dtype of float16, bfloat16, float32, float64.
        v: (batch, length, heads, value_dim).
        scale: by default key_dim ** -0.5.
        causal: whether a token sees only itself and those before it. Ranks are not balanced for that: the last one
            computes most.
        group: by default all processes.
        exchange: "all_gather", of all keys and values at once, or "ring", from rank to rank.

    Returns:
        The output of this rank's tokens, like v. Sums are kept in float32 (float64 for float64).

    Raises:
        ValueError: torch.distributed is not initialised, this process is not in the group, or, on every rank alike,
            one rank's inputs are wrong, or differ from another's in more than their length.
    """
    ranks = ranks_of(group)

    def describe() -> dict[str, object]:
        check_exchange(exchange, EXCHANGES)
        _check(q, k, v)
        return {
            "operator": "attention",
            "exchange": exchange,
            "dtype": str(q.dtype),
            "batch": q.shape[0],
            "heads": q.shape[2],
            "key_dim": q.shape[3],
            "value_dim": v.shape[3],
            "scale": scale,
            "causal": causal,
            "differentiated": differentiated(q=q, k=k, v=v),
            "length": q.shape[1],
        }

    lengths = tuple(one["length"] for one in agree(describe, ranks, own=("length",)))
    call = _Call(q.shape[-1] ** -0.5 if scale is None else scale, causal, exchange, lengths, ranks)
    out: Tensor = _Attention.apply(q, k, v, call)
    return out


def blockwise(q: Tensor, k: Tensor, v: Tensor, scale: float, causal: bool = False) -> Tensor:
    """The same of a whole sequence: what one rank computes where there is no other, as an implementation of attention.

    Args:
        q, k, v, scale, causal: as above.
    """
    _check(q, k, v)
    out: Tensor = _Attention.apply(q, k, v, _Call(scale, causal, "ring", (q.shape[1],), ALONE))
    return out


class _Call(NamedTuple):
    scale: float
    causal: bool
    exchange: str
    lengths: Sequence[int]
    ranks: Ranks

    def keys(self, k: Tensor, v: Tensor) -> KeyExchange:
        exchange = "ring" if self.ranks.size == 1 else self.exchange  # which sends nothing then
        return EXCHANGES[exchange](torch.cat([k, v], -1).transpose(1, 2), self.lengths, self.ranks)

    def sees(self, rank: int) -> bool:
        return not self.causal or rank <= self.ranks.rank

    def masks(self, rank: int) -> bool:
        return self.causal and rank == self.ranks.rank


class _Attention(Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, call: _Call) -> Tensor:
        queries = _summed(q).mul(call.scale)
        attention = BlockwiseAttention(queries, v.shape[-1])
        for rank, block in call.keys(k, v).blocks():
            if call.sees(rank):
                attention.add(*_split(block, q.shape[-1]), causal=call.masks(rank))
        ctx.call = call
        ctx.save_for_backward(q, k, v, attention.out, attention.lse)
        return attention.out.transpose(1, 2).to(v.dtype).contiguous()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        q, k, v, out, lse = ctx.saved_tensors
        call, dim = ctx.call, q.shape[-1]
        gradients = BlockwiseGradients(_summed(q).mul(call.scale), out, lse, _summed(grad))
        keys = call.keys(k, v)
        for rank, block in keys.blocks():
            if call.sees(rank):
                found = torch.cat(gradients.add(*_split(block, dim), causal=call.masks(rank)), -1)
            else:
                found = block.new_zeros(block.shape, dtype=lse.dtype)
            keys.give_back(rank, found)
        dq, dkv = gradients.dq.mul_(call.scale).transpose(1, 2), keys.own_gradient().transpose(1, 2)
        return dq.to(q.dtype), dkv[..., :dim].to(k.dtype), dkv[..., dim:].to(v.dtype), None


def _summed(x: Tensor) -> Tensor:
    """(batch, heads, length, dim), in the dtype of sums."""
    return x.transpose(1, 2).to(torch.promote_types(x.dtype, torch.float32))


def _split(block: Tensor, key_dim: int) -> tuple[Tensor, Tensor]:
    block = block.to(torch.promote_types(block.dtype, torch.float32))
    return block[..., :key_dim], block[..., key_dim:]


def _check(q: Tensor, k: Tensor, v: Tensor) -> None:
    if q.ndim != 4 or 0 in q.shape or k.shape != q.shape:
        raise ValueError(
            f"q is {tuple(q.shape)} and k {tuple(k.shape)}: pass (batch, length, heads, key_dim) for both, with at "
            "least one of each"
        )
    if v.ndim != 4 or v.shape[:3] != q.shape[:3] or not v.shape[3]:
        raise ValueError(f"v is {tuple(v.shape)} but q is {tuple(q.shape)}: only the last dimension may differ")
    for name, x in {"q": q, "k": k, "v": v}.items():
        if x.dtype != q.dtype or x.dtype not in DTYPES or x.device != q.device:
            raise ValueError(
                f"{name} is {x.dtype} on {x.device} but q is {q.dtype} on {q.device}: give all one device and one "
                "dtype, of float16, bfloat16, float32, float64"
            )
