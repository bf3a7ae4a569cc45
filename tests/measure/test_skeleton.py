"""Counting leaves a model, and whatever it keeps anywhere, as it was."""

import copy
import threading
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import pytest
import timm
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from tests.examples import example_of
from tests.measure import odd_nets
from vigbench.measure.cost import count_cost
from vigbench.measure.skeleton import skeleton_of
from vigbench.subjects.catalog import create_model

PATCHES = 3 * 4 * 4 * 8 * 64  # multiply-adds of the stem
HEAD = 8 * 10


@pytest.mark.filterwarnings("ignore:.*torch.jit.script")
@pytest.mark.parametrize("kind", odd_nets.KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("called_before", [False, True])
def test_a_model_computes_after_the_count_what_it_did_before(
    kind: Callable[[], nn.Module], called_before: bool
) -> None:
    odd_nets.positions.cache_clear()
    odd_nets.TABLES.clear()
    torch.manual_seed(0)
    model = kind().eval()
    images = torch.randn(odd_nets.IMAGES)
    with torch.inference_mode():
        right = copy.deepcopy(getattr(model, "_orig_mod", model))(images)
    odd_nets.positions.cache_clear()
    odd_nets.TABLES.clear()
    if called_before:
        model(images)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    cost = count_cost(model, odd_nets.IMAGES)
    assert cost.macs >= PATCHES + HEAD
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert state.keys() == model.state_dict().keys()
    for _ in range(2):
        with torch.inference_mode():
            output = model(images)
        assert type(output) is torch.Tensor
        assert torch.allclose(output, right)


@lru_cache
def registry() -> dict[str, int]:
    return {}


def test_caches_that_hold_nothing_of_the_count_are_left_alone() -> None:
    registry()["kept"] = 1
    odd_nets.positions.cache_clear()
    count_cost(odd_nets.KeepsInFunction(), odd_nets.IMAGES)
    assert registry() == {"kept": 1}
    assert odd_nets.positions.cache_info().currsize == 0


def test_every_tensor_of_a_skeleton_is_fake_and_what_is_shared_stays_shared() -> None:
    model = odd_nets.RegisteredTwice()
    model.constants = {"mean": [torch.ones(3)]}
    twin = skeleton_of(model, FakeTensorMode())
    assert all(isinstance(tensor, FakeTensor) for tensor in twin.state_dict(keep_vars=True).values())
    assert isinstance(twin.constants["mean"][0], FakeTensor)
    assert twin.first is twin.patches[0]
    assert twin.first.weight is twin.patches[0].weight
    assert type(model.constants["mean"][0]) is torch.Tensor


def test_a_model_that_cannot_be_copied_is_a_value_error_and_stays_as_it_was() -> None:
    model = odd_nets.Stem()
    model.lock = threading.Lock()
    with pytest.raises(ValueError, match="cannot pickle"):
        count_cost(model, odd_nets.IMAGES)
    assert not any(tensor.is_meta for tensor in model.parameters())


def one_model_of_each_file() -> list[str]:
    """The smallest known model of each of timm's files that takes images of its usual size."""
    chosen: dict[str, str] = {}
    for name in timm.list_models():
        file = Path(timm.model_entrypoint(name).__code__.co_filename).stem
        sizes = ("atto", "femto", "pico", "nano", "tiny", "small", "18", "test")
        if file not in chosen or (any(s in name for s in sizes) and not any(s in chosen[file] for s in sizes)):
            chosen[file] = name
    return sorted(chosen.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", one_model_of_each_file())
def test_no_model_of_timm_is_changed(name: str) -> None:
    torch.manual_seed(0)
    model = create_model(name).eval()
    if sum(parameter.numel() for parameter in model.parameters()) > 150e6:
        pytest.skip("large: one of its file's smaller relatives would tell the same")
    example = example_of(name, model)
    with torch.inference_mode():
        before = model(*example)
        count_cost(model, example)
        after = model(*example)
    every = [*model.parameters(), *model.buffers()]
    assert {tensor.device.type for tensor in every} == {"cpu"}
    assert not any(isinstance(tensor, FakeTensor) for tensor in every)
    assert torch.equal(after, before)
