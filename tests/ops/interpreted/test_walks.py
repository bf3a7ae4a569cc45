"""GLA's kernels in the interpreter, by one walk each way: run by test_interpreted.py, in a process of its own."""

import os
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

if os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip("needs TRITON_INTERPRET=1 before Triton is imported", allow_module_level=True)

from tests.ops.interpreted.gla_comparison import (  # noqa: F401
    ALLOWED,
    SMALL,
    MakeInputs,
    assert_as_defined,
    poisoned_outputs,
    settings_anew,
)
from vigbench.ops.gla.kernels import settings as kernel_settings
from vigbench.ops.gla.reference import reference
from vigbench.ops.gla.triton_fused import triton_fused

WALKS = {"whole": SMALL._replace(walk=True, segment=100), "in segments": SMALL._replace(walk=True, segment=1)}


@pytest.fixture(params=list(WALKS))
def walking(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """One walk instead of two passes. It multiplies strong decays, too, and then leaves out what has overflown."""
    monkeypatch.setattr(kernel_settings, "walk_settings", lambda *_: WALKS[request.param])
    with np.errstate(over="ignore", invalid="ignore"):
        yield request.param


@pytest.mark.parametrize("dtype", ALLOWED)
def test_one_walk_in_every_decay_regime(regime: str, dtype: torch.dtype, walking: str, make_inputs: MakeInputs) -> None:
    *inputs, _ = [x.to(dtype) for x in make_inputs(regime, (1, 37, 1), 16, 32)]
    assert_output_as_defined(inputs)


@pytest.mark.parametrize("length", [1, 15, 16, 17, 70])
def test_one_walk_of_any_length_in_one_direction(length: int, walking: str, make_inputs: MakeInputs) -> None:
    *inputs, g_fwd, g_bwd, _ = make_inputs("as trained", (2, length, 2), 20, 16)
    assert_output_as_defined([*inputs, g_fwd, None])
    assert_output_as_defined([*inputs, None, g_bwd])


@pytest.mark.parametrize("length", [1, 16, 33, 50, 81])
def test_one_walk_of_any_length_in_two_phases(length: int, walking: str, make_inputs: MakeInputs) -> None:
    """Halves of different lengths, and without a last segment, or without a second half."""
    *inputs, _ = make_inputs("hard mixture", (2, length, 1), 16, 32)
    assert_output_as_defined(inputs)


@pytest.fixture
def walking_back(walking: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both passes by one walk."""
    monkeypatch.setattr(kernel_settings, "default_settings", lambda *_: WALKS[walking])


@pytest.mark.parametrize("dtype", ALLOWED)
@pytest.mark.parametrize("regime_", ["as trained", "hard mixture", "edge of mild"])
def test_gradients_by_one_walk(regime_: str, dtype: torch.dtype, walking_back: None, make_inputs: MakeInputs) -> None:
    *inputs, grad = [x.to(dtype) for x in make_inputs(regime_, (1, 37, 2), 20, 16)]
    assert_as_defined(triton_fused, inputs, grad)


@pytest.mark.parametrize("length", [1, 16, 17])
def test_gradients_by_one_walk_in_one_direction(length: int, walking_back: None, make_inputs: MakeInputs) -> None:
    *inputs, g_fwd, g_bwd, grad = make_inputs("strong", (2, length, 1), 16, 32)
    assert_as_defined(triton_fused, [*inputs, g_fwd, None], grad)
    assert_as_defined(triton_fused, [*inputs, None, g_bwd], grad)


def assert_output_as_defined(inputs: list[Tensor | None]) -> None:
    expected = reference(*(None if x is None else x.double() for x in inputs), 0.5)
    found = triton_fused(*inputs, 0.5)
    assert inputs[0] is not None
    assert (found.double() - expected).abs().max() <= ALLOWED[inputs[0].dtype] * expected.abs().max()
