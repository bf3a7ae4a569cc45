"""Sequence layers on their own: one sequence of a length, forward, by the shape of the heads."""

from collections.abc import Callable, Mapping

from vigbench.measure.closed_form.products import gla_scan, gsa_scan, linear, ssd_scan
from vigbench.suites.shape import Shape

LayerFormula = Callable[[int, Shape], int]

GATE_RANK = 16  # of GLA
SLOTS = 64  # of gated slot attention, a head
TAPS = 4  # of Mamba-2's convolution


def _gla(length: int, shape: Shape) -> int:
    """arXiv 2312.06635, section 4.4: 4 d^2 + 24 d + 1.5 d^2 / heads a token where keys have half the width."""
    keys, dim = shape.heads * shape.key_dim, shape.heads * shape.value_dim
    projections = 2 * linear(length, dim, keys) + 3 * linear(length, dim, dim)  # q, k; v, output gate, output
    gates = linear(length, dim, GATE_RANK) + linear(length, GATE_RANK, keys)
    return projections + gates + gla_scan(length, shape)


def _llama(length: int, shape: Shape) -> int:
    """arXiv 2302.13971, section 2.2. A token has scores with itself and those before it; rotation is not counted."""
    dim = shape.heads * shape.value_dim
    pairs = length * (length + 1) // 2
    return 4 * linear(length, dim, dim) + pairs * shape.heads * (shape.key_dim + shape.value_dim)


def _retnet(length: int, shape: Shape) -> int:
    """arXiv 2307.08621, section 2.2: queries and keys of the layer's width, values twice that in the paper."""
    dim, values = shape.heads * shape.key_dim, shape.heads * shape.value_dim
    projections = 2 * linear(length, dim, dim) + 3 * linear(length, dim, values)  # q, k; v, output gate, output
    return projections + gla_scan(length, shape)


def _mamba2(length: int, shape: Shape) -> int:
    """arXiv 2405.21060, section 7, with one group: heads hold twice the width, in_proj gives z, x, B, C and dt."""
    inner, state = shape.heads * shape.value_dim, shape.key_dim
    dim, mixed = inner // 2, inner + 2 * state
    projections = linear(length, dim, inner + mixed + shape.heads) + linear(length, inner, dim)
    return projections + TAPS * length * mixed + ssd_scan(length, shape)


def _gsa(length: int, shape: Shape) -> int:
    """arXiv 2409.07146, section 3.3."""
    keys, dim = shape.heads * shape.key_dim, shape.heads * shape.value_dim
    projections = 2 * linear(length, dim, keys) + 2 * linear(length, dim, dim)  # q, k; v, output
    return projections + linear(length, dim, shape.heads * SLOTS) + gsa_scan(length, shape, SLOTS)


FORMULAS: Mapping[str, LayerFormula] = {
    "gla_layer": _gla,
    "llama_layer": _llama,
    "retnet_layer": _retnet,
    "mamba2_layer": _mamba2,
    "gsa_layer": _gsa,
}
