"""Log-decays inside a kernel: as given, from logits, or from the low-rank activations that logits are computed from."""

from typing import NamedTuple

import triton
import triton.language as tl

from vigbench.ops.gla.kernels.tiles import GlaView, dot, load_row, load_tile

LOG_DECAY, LOGITS, LOW_RANK = "log_decay", "logits", "low_rank"


class Gate(NamedTuple):
    """Where the log-decays of one direction come from: log-decays, or logits of logsigmoid(logits) / normalizer.

    `x` holds log-decays or logits, (batch, length, heads, key_dim), or activations, (batch, length, 1, rank), stride 0
    over heads: then logits are activations @ weight^T + bias. `weight` is (heads, key_dim, rank) and `bias`
    (heads, key_dim), as views without strides for the dimensions that they lack; else they are not read.
    """

    x: GlaView
    weight: GlaView
    bias: GlaView
    normalizer: float


@triton.jit
def _log_decay(logits, gate):
    return (tl.minimum(logits, 0.0) - tl.log(1.0 + tl.exp(-tl.abs(logits)))) / gate.normalizer


@triton.jit
def _load_weight(gate, at, keys, ranks, variant: tl.constexpr):
    first = gate.weight.data + at.head * gate.weight.head
    pointers = first + keys[:, None] * gate.weight.token + ranks[None, :]
    return tl.load(pointers, mask=(keys < variant.key_dim)[:, None] & (ranks < variant.rank)[None, :], other=0.0)


@triton.jit
def _load_bias(gate, at, keys, variant: tl.constexpr):
    first = gate.bias.data + at.head * gate.bias.head
    return tl.load(first + keys, mask=keys < variant.key_dim, other=0.0).to(tl.float32)


@triton.jit
def _load_x(gate, at, keys, variant: tl.constexpr):
    """Log-decays or logits, (rows, keys) in float32."""
    if variant.gate == "low_rank":
        ranks = tl.arange(0, variant.rank_block)
        a = load_tile(gate.x, at, ranks, variant.rank)
        x = dot(a, tl.trans(_load_weight(gate, at, keys, ranks, variant)), a.dtype)
        x += _load_bias(gate, at, keys, variant)[None, :]
    else:
        x = load_tile(gate.x, at, keys, variant.key_dim).to(tl.float32)
    return x


@triton.jit
def load_log_decays(gate, at, keys, variant: tl.constexpr):
    """(rows, keys) in float32; 0 where a token is not valid."""
    x = _load_x(gate, at, keys, variant)
    if variant.gate != "log_decay":
        x = tl.where(at.valid[:, None], _log_decay(x, gate), 0.0)
    return x


@triton.jit
def load_log_decay(gate, at, row, keys, variant: tl.constexpr):
    """Those of one token, (keys) in float32; 0 beyond the sequence."""
    if variant.gate == "low_rank":
        ranks = tl.arange(0, variant.rank_block)
        a = load_row(gate.x, at, row, ranks, variant.rank)
        x = tl.sum(_load_weight(gate, at, keys, ranks, variant).to(tl.float32) * a[None, :], 1)
        x += _load_bias(gate, at, keys, variant)
    else:
        x = load_row(gate.x, at, row, keys, variant.key_dim)
    if variant.gate != "log_decay":
        x = tl.where(at.start + row < at.length, _log_decay(x, gate), 0.0)
    return x


@triton.jit
def gate_gradient(grad, gate, at, keys, variant: tl.constexpr):
    """Gradient of log-decays, (rows, keys), to that of what they were computed from: of log-decays or of logits."""
    if variant.gate != "log_decay":
        grad = grad / ((1.0 + tl.exp(_load_x(gate, at, keys, variant))) * gate.normalizer)
    return grad
