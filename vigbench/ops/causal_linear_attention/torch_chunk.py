"""Chunkwise causal linear attention in plain PyTorch, for any device: forward and backward, either direction.

GLA, arXiv 2312.06635, section 3.1, equation 2. Memory is linear in the length: a segment of chunks at a time, with the
state that enters it.
"""

import torch
from torch import Tensor

from vigbench.ops.causal_linear_attention.cost import chunk_macs, three_times
from vigbench.ops.causal_linear_attention.operator import define_causal_linear_attention, gradients_by
from vigbench.ops.gla.chunks import Chunks


def _attend(q: Tensor, k: Tensor, v: Tensor, scale: float, reverse: bool) -> Tensor:
    chunks = Chunks(v)
    out = v.new_empty(v.shape)
    state = torch.zeros(chunks.rows, q.shape[-1], v.shape[-1], dtype=chunks.dtype, device=v.device)
    segments = list(chunks.segments())
    for segment in reversed(segments) if reverse else segments:
        q_, k_, v_ = (chunks.load(x, segment) for x in (q, k, v))
        scores = torch.bmm(q_, k_.mT)
        scores = scores.triu_() if reverse else scores.tril_()
        written = torch.bmm(k_.mT, v_).view(segment.stop - segment.start, *state.shape)
        entering, state = _entering(written, state, reverse)
        o = torch.bmm(scores, v_).baddbmm_(q_, entering.flatten(0, 1))
        chunks.store(out, segment, o.mul_(scale))
    return out


def _entering(written: Tensor, state: Tensor, reverse: bool) -> tuple[Tensor, Tensor]:
    """The states that enter chunks, from what each writes and what enters the first; and what leaves the last."""
    if reverse:
        written = written.flip(0)
    sums = torch.cat((state.unsqueeze(0), written)).cumsum(0)
    return sums[:-1].flip(0) if reverse else sums[:-1], sums[-1]


torch_chunk = define_causal_linear_attention(
    "torch_chunk", _attend, gradients_by(_attend), chunk_macs, three_times(chunk_macs)
)
