"""Closed forms of sequence layers, against what papers come to and against the count of a layer that is built."""

import pytest

from vigbench.measure.closed_form import closed_form_of_layer
from vigbench.measure.cost import count_cost
from vigbench.models.layers.table import LAYERS, USUAL_HEADS, Heads
from vigbench.ops.registry import list_implementations
from vigbench.subjects.building import build_on_meta
from vigbench.suites.shape import Shape

HEADS = [(name, heads) for name in LAYERS for heads in USUAL_HEADS[name].values()]
ODD = [
    ("gla_layer", (3, 20, 24)),
    ("llama_layer", (5, 22, 22)),
    ("retnet_layer", (3, 20, 12)),
    ("mamba2_layer", (6, 24, 7)),
    ("gsa_layer", (3, 20, 12)),
]
REFUSED = {  # kernels for whole blocks of ViG, and for SSD only
    "gla_layer": {"triton_block"},
    "retnet_layer": {"mamba_ssm"},
}


def macs(name: str, length: int, heads: Heads) -> int:
    counted = closed_form_of_layer(name, length, Shape(*heads))
    assert counted is not None
    return counted


def masked(name: str, length: int, heads: Heads) -> int:
    """Scores above the diagonal, in torch's formula of attention, which knows no mask."""
    number, key_dim, value_dim = heads
    return length * (length - 1) // 2 * number * (key_dim + value_dim) if name == "llama_layer" else 0


@pytest.mark.parametrize(("name", "heads"), [*HEADS, *ODD])
@pytest.mark.parametrize("length", [1, 77, 1024])
def test_both_counters_agree(name: str, heads: Heads, length: int) -> None:
    layer = build_on_meta(lambda: LAYERS[name](*heads))
    cost = count_cost(layer, (3, length, layer.dim))
    assert cost.coverage == 1, cost.uncounted
    assert cost.macs == 3 * (macs(name, length, heads) + masked(name, length, heads))


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYERS)
def test_the_count_is_that_of_the_algorithm_whatever_computes_it(name: str) -> None:
    heads = USUAL_HEADS[name][1024]
    layer = build_on_meta(lambda: LAYERS[name](*heads))
    for implementation in {one.name for one in list_implementations(layer.operator)} - REFUSED.get(name, set()):
        layer.set_implementation(implementation)
        cost = count_cost(layer, (1, 100, layer.dim))
        assert cost.macs == macs(name, 100, heads) + masked(name, 100, heads), implementation


@pytest.mark.parametrize("width", [1024, 2048])
def test_counts_are_those_of_the_papers_shapes(width: int) -> None:
    length = 1000
    a_token = {name: macs(name, length, USUAL_HEADS[name][width]) / length for name in LAYERS}
    assert a_token["gla_layer"] == 4 * width**2 + 24 * width + 1.5 * width**2 / 4
    assert a_token["llama_layer"] == 4 * width**2 + (length + 1) * width
    assert a_token["retnet_layer"] == 8 * width**2 + 3 * width * 512
    inner = 2 * width
    convolution, steps = 4 * (inner + 256), inner // 64 * (2 * 64 + 1)
    assert a_token["mamba2_layer"] == 3 * width * inner + width * (256 + inner // 64) + convolution + (
        3 * inner * 128 + steps
    )
    assert a_token["gsa_layer"] == 4 * width**2 + 4 * 64 * width + 6 * 64 * width


def test_scans_are_those_of_the_papers_shapes() -> None:
    """Of width 2048 and one token: gated slot attention half of GLA's 1.57 M, Mamba-2's the same 1.57 M."""
    dim = 2048
    gla = macs("gla_layer", 1, (4, 256, 512)) - 4 * dim**2 - 24 * dim
    gsa = macs("gsa_layer", 1, (4, 512, 512)) - 4 * dim**2 - 256 * dim
    assert (gla, gsa) == (1_572_864, 786_432)


@pytest.mark.parametrize(("width", "crossover"), [(1024, 408), (2048, 792)])
def test_from_a_length_on_attention_costs_more_than_gla(width: int, crossover: int) -> None:
    def costs(length: int) -> tuple[int, int]:
        return tuple(macs(name, length, USUAL_HEADS[name][width]) for name in ("llama_layer", "gla_layer"))

    attention, linear = costs(crossover - 1)
    assert attention == linear
    attention, linear = costs(crossover)
    assert attention > linear


def test_a_layer_without_a_formula_has_none() -> None:
    assert closed_form_of_layer("rwkv_layer", 100, Shape(4, 8, 8)) is None
