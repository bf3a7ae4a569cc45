"""ViG around other operators: each mixer is the operator that it names, with gates of its own, in ViG's frame."""

import pytest
import torch
from torch import Tensor

from vigbench.models.mixers import MIXERS
from vigbench.models.vig import ViG
from vigbench.subjects.catalog import create_model, describe, fill_weights, matching_implementations

NAME = "vig_tiny_patch16_224"
OTHERS = sorted(set(MIXERS) - {"gla"})


def model_of(mixer: str, dtype: torch.dtype = torch.float64) -> ViG:
    model = create_model(NAME, mixer=mixer, depth=2, num_classes=5, implementation="torch_chunk")
    assert isinstance(model, ViG)
    fill_weights(model, 0)
    return model.to(dtype).eval()


def images(side: int = 64) -> Tensor:
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("mixer", sorted(MIXERS))
def test_every_implementation_computes_the_same(mixer: str) -> None:
    model, x = model_of(mixer), images()
    found = model(x)
    model.set_implementation("reference")
    torch.testing.assert_close(model(x), found, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("mixer", sorted(MIXERS))
def test_every_parameter_trains(mixer: str) -> None:
    model = model_of(mixer)
    model(images()).square().mean().backward()
    still = [name for name, one in model.named_parameters() if one.grad is None or not one.grad.abs().max() > 0]
    assert still == []


@pytest.mark.parametrize("mixer", OTHERS)
def test_tokens_are_read_in_both_directions(mixer: str) -> None:
    """What a mixer does to the first token depends on the last one, and the other way round."""
    mix = model_of(mixer).blocks[0].attn
    x = torch.randn(1, 6, 6, 192, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    plain = mix(x)
    for changed, seen in (((0, 0), (5, 5)), ((5, 5), (0, 0))):
        other = x.clone()
        other[0, changed[0], changed[1]] += 1
        assert (mix(other)[0, seen[0], seen[1]] - plain[0, seen[0], seen[1]]).abs().max() > 1e-9


@pytest.mark.parametrize("mixer", OTHERS)
def test_all_but_the_gates_is_as_in_vig(mixer: str) -> None:
    of_vig, of_other = (dict(model_of(one).named_parameters()) for one in ("gla", mixer))
    gates = {name for name in of_vig if "gk_proj" in name}
    shared = {name: tuple(one.shape) for name, one in of_vig.items() if name not in gates}
    assert shared.items() <= {name: tuple(one.shape) for name, one in of_other.items()}.items()
    own = set(of_other) - set(shared)
    assert all(".attn." in name for name in own)
    assert bool(own) == (mixer != "retention")


@pytest.mark.parametrize("mixer", sorted(MIXERS))
def test_a_subject_s_operator_is_that_of_its_mixer(mixer: str) -> None:
    args = f'{{"mixer": "{mixer}"}}'
    subject = describe(NAME, args)
    assert subject.operator == MIXERS[mixer].operator == model_of(mixer).operator
    assert ("triton_block" in matching_implementations(NAME, ["*"], "cuda", args)) == (mixer == "gla")


def test_what_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="mixer 'mamba' is none of ViG's: choose gla, gsa"):
        create_model(NAME, mixer="mamba")
    with pytest.raises(ValueError, match="unknown implementation of gsa 'triton_block'"):
        create_model(NAME, mixer="gsa", implementation="triton_block")
