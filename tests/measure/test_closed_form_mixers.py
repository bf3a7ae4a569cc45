"""Closed forms of ViG around other operators, against the count of a model that is built."""

import pytest

from vigbench.measure.closed_form import closed_form_macs
from vigbench.measure.cost import count_cost
from vigbench.models.mixers import MIXERS
from vigbench.subjects.building import build_on_meta
from vigbench.subjects.catalog import create_model
from vigbench.suites.arguments import read_args, with_args


def of_mixer(name: str, mixer: str, resolution: int) -> int:
    macs = closed_form_macs(with_args(name, read_args({"mixer": mixer})), resolution)
    assert macs is not None
    return macs


@pytest.mark.parametrize("resolution", [64, 224, pytest.param(1024, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "name",
    [
        "vig_tiny_patch16_224",
        pytest.param("vig_small_patch16_224", marks=pytest.mark.slow),
        pytest.param("vig_base_patch16_224", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("mixer", MIXERS)
def test_both_counters_agree(name: str, mixer: str, resolution: int) -> None:
    model = build_on_meta(lambda: create_model(name, mixer=mixer))
    cost = count_cost(model, (1, 3, resolution, resolution))
    assert cost.coverage == 1, cost.uncounted
    assert cost.macs == of_mixer(name, mixer, resolution)


def test_the_mixer_of_gla_is_the_plain_model() -> None:
    assert of_mixer("vig_tiny_patch16_224", "gla", 224) == closed_form_macs("vig_tiny_patch16_224", 224)


def test_what_a_gate_costs() -> None:
    """A layer and token of ViG-T, 3 heads of 32 and 64: two slot states of 32 x 32 and 32 x 64 for one of 32 x 64."""
    tokens, layers = 14 * 14, 12
    macs = {mixer: of_mixer("vig_tiny_patch16_224", mixer, 224) for mixer in MIXERS}
    extra = {mixer: (macs[mixer] - macs["gla"]) / tokens / layers for mixer in MIXERS}
    gates = 16 * (192 + 2 * 96)
    assert extra == {
        "gla": 0,
        "gsa": 2 * 3 * 3 * 32 * 32,
        "regla": 16 * 2 * 96,
        "retention": -gates,
        "ssd": 192 * 2 * 3 + 2 * 3 * (2 * 64 + 1) - gates,
    }
