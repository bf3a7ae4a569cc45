"""Log-decays inside a kernel: as given, from logits, or from the low-rank activations that logits are computed from.

Or from two logits, of a forget gate and of one that refines it (`vigbench.ops.regla`).

Kernels have them in base 2: a GPU's unit computes powers of 2, so that one of e takes five instructions instead of one.
"""

from typing import NamedTuple

import triton
import triton.language as tl

from vigbench.ops.gla.kernels.tiles import GlaView, dot, load_row, load_tile, store_tile
from vigbench.ops.kernel_math import LOG2_E

LOG_DECAY, LOGITS, LOW_RANK, REFINED = "log_decay", "logits", "low_rank", "refined"


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


class RefinedGate(NamedTuple):
    """Two logits of one direction, both (batch, length, heads, key_dim), or where their gradients go.

    The decay is f (f + 2 r (1 - f)), f = sigmoid(x), r = sigmoid(y): see `vigbench.ops.regla.features`.
    """

    x: GlaView
    y: GlaView


@triton.jit
def _log2_of_one_plus(t):
    """log2(1 + t) for t in [0, 1], to 2e-7: a third of the instructions of the library's logarithm.

    t times the Chebyshev interpolant of degree 7 of log2(1 + t) / t.
    """
    p = 0.06274843215942383 - 0.012077020481228828 * t
    p = p * t - 0.1541520059108734
    p = p * t + 0.2551763355731964
    p = p * t - 0.3530963659286499
    p = p * t + 0.480012446641922
    p = p * t - 0.7213067412376404
    return (p * t + 1.4426947832107544) * t


@triton.jit
def _log2_decay(logits, gate):
    x = logits * LOG2_E
    return (tl.minimum(x, 0.0) - _log2_of_one_plus(tl.exp2(-tl.abs(x)))) * (1.0 / gate.normalizer)


@triton.jit
def _log2_sigmoid(x):
    """log2(sigmoid) of logits in base 2."""
    return tl.minimum(x, 0.0) - _log2_of_one_plus(tl.exp2(-tl.abs(x)))


@triton.jit
def _refined_log2_decay(x, y):
    """2 log2 f + log2(1 + 2 r e^-x): no digit of a small f is lost."""
    x, y = x * LOG2_E, y * LOG2_E
    ratio = 1.0 + _log2_sigmoid(y) - x
    return tl.minimum(2.0 * _log2_sigmoid(x) - _log2_sigmoid(-ratio), 0.0)


@triton.jit
def _load_weight(gate, head, keys, ranks, variant: tl.constexpr):
    first = gate.weight.data + head * gate.weight.head
    pointers = first + keys[:, None] * gate.weight.token + ranks[None, :]
    return tl.load(pointers, mask=(keys < variant.key_dim)[:, None] & (ranks < variant.rank)[None, :], other=0.0)


@triton.jit
def _load_bias(gate, head, keys, variant: tl.constexpr):
    first = gate.bias.data + head * gate.bias.head
    return tl.load(first + keys, mask=keys < variant.key_dim, other=0.0).to(tl.float32)


@triton.jit
def load_projection(gate, head, keys, variant: tl.constexpr):
    """What makes logits of activations: weight, (keys, rank), and bias, (keys). Nothing where logits are given."""
    projection = (0, 0)
    if variant.gate == "low_rank":
        ranks = tl.arange(0, variant.rank_block)
        projection = (_load_weight(gate, head, keys, ranks, variant), _load_bias(gate, head, keys, variant))
    return projection


@triton.jit
def _load_x(gate, projection, at, keys, variant: tl.constexpr):
    """Log-decays or logits, (rows, keys) in float32; of refined gates the first ones."""
    if variant.gate == "low_rank":
        a = load_tile(gate.x, at, tl.arange(0, variant.rank_block), variant.rank)
        x = dot(a, tl.trans(projection[0]), a.dtype) + projection[1][None, :]
    else:
        x = load_tile(gate.x, at, keys, variant.key_dim).to(tl.float32)
    return x


@triton.jit
def load_log2_decays(gate, at, keys, variant: tl.constexpr):
    """(rows, keys) in float32; 0 where a token is not valid."""
    return project_log2_decays(gate, load_projection(gate, at.head, keys, variant), at, keys, variant)


@triton.jit
def project_log2_decays(gate, projection, at, keys, variant: tl.constexpr):
    """The same with what `load_projection` has loaded, once for all chunks."""
    x = _load_x(gate, projection, at, keys, variant)
    if variant.gate == "log_decay":
        x *= LOG2_E
    elif variant.gate == "refined":
        y = load_tile(gate.y, at, keys, variant.key_dim).to(tl.float32)
        x = tl.where(at.valid[:, None], _refined_log2_decay(x, y), 0.0)
    else:
        x = tl.where(at.valid[:, None], _log2_decay(x, gate), 0.0)
    return x


@triton.jit
def load_log2_decay(gate, at, row, keys, variant: tl.constexpr):
    """Those of one token, (keys) in float32; 0 beyond the sequence."""
    if variant.gate == "low_rank":
        ranks = tl.arange(0, variant.rank_block)
        a = load_row(gate.x, at, row, ranks, variant.rank)
        x = tl.sum(_load_weight(gate, at.head, keys, ranks, variant).to(tl.float32) * a[None, :], 1)
        x += _load_bias(gate, at.head, keys, variant)
    else:
        x = load_row(gate.x, at, row, keys, variant.key_dim)
    if variant.gate == "log_decay":
        x *= LOG2_E
    elif variant.gate == "refined":
        y = load_row(gate.y, at, row, keys, variant.key_dim)
        x = tl.where(at.start + row < at.length, _refined_log2_decay(x, y), 0.0)
    else:
        x = tl.where(at.start + row < at.length, _log2_decay(x, gate), 0.0)
    return x


@triton.jit
def _one_minus_sigmoid(x):
    """Of logits in base 2."""
    return 1.0 / (1.0 + tl.exp2(x))


@triton.jit
def _store_refined_gradient(dg, grad, gate, at, keys, variant: tl.constexpr):
    """Gradients of both logits, as `vigbench.ops.regla.features.through_log_decay` has them."""
    x = load_tile(gate.x, at, keys, variant.key_dim).to(tl.float32) * LOG2_E
    y = load_tile(gate.y, at, keys, variant.key_dim).to(tl.float32) * LOG2_E
    ratio = 1.0 + _log2_sigmoid(y) - x
    w, keep = _one_minus_sigmoid(-ratio), _one_minus_sigmoid(y)
    store_tile(dg.y, at, keys, variant.key_dim, grad * w * keep)
    rest = 2.0 * _one_minus_sigmoid(ratio) * keep + w
    store_tile(dg.x, at, keys, variant.key_dim, grad * _one_minus_sigmoid(x) * rest)


@triton.jit
def store_gate_gradient(dg, grad, gate, at, keys, variant: tl.constexpr):
    """From the gradient of log-decays, (rows, keys), that of what they were computed from: of log-decays or logits."""
    if variant.gate == "refined":
        _store_refined_gradient(dg, grad, gate, at, keys, variant)
    else:
        if variant.gate != "log_decay":
            x = _load_x(gate, load_projection(gate, at.head, keys, variant), at, keys, variant)
            grad = grad / ((1.0 + tl.exp2(x * LOG2_E)) * gate.normalizer)
        store_tile(dg, at, keys, variant.key_dim, grad)
