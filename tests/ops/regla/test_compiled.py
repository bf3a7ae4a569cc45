"""Compiled ahead of time for GPUs that need not be there: no more registers and shared memory than there are."""

from functools import partial
from importlib.util import find_spec

import pytest

if find_spec("triton") is None:
    pytest.skip("needs triton", allow_module_level=True)

import torch

from tests.ops.calls import regla_call
from tests.ops.gla.compiling import PASSES, WALKS, WALKS_BACK, assert_fits, capability_name, compiled
from vigbench.ops.gla.kernels.settings import GlaSettings, default_settings
from vigbench.ops.regla import triton_fused

VIG = (32, 64)
SHORT_WALKS = {
    name: ("forward" if name in WALKS else "backward", settings._replace(chunk=min(settings.chunk, 32)))
    for name, settings in (WALKS | WALKS_BACK).items()
}


def assert_compiles(
    pass_: str,
    settings: GlaSettings,
    capability: int,
    dtype: str,
    dims: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(triton_fused, "settings_for", lambda *_: settings)
    assert_fits(compiled(capability, regla_call(pass_, dtype, *dims)), capability)


def default(pass_: str, capability: int, dtype: str, key_dim: int) -> GlaSettings:
    return default_settings(capability_name(capability), getattr(torch, dtype), pass_, key_dim)  # type: ignore[arg-type]


@pytest.mark.parametrize("pass_", PASSES)
def test_the_shape_of_vig_fits_hopper(pass_: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_compiles(pass_, default(pass_, 90, "bfloat16", 32), 90, "bfloat16", VIG, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("capability", [80, 90, 100])
@pytest.mark.parametrize("pass_", PASSES)
def test_every_target_fits(pass_: str, capability: int, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_compiles(pass_, default(pass_, capability, dtype, 32), capability, dtype, VIG, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("dims", [(16, 32), (64, 64), (128, 128)])
@pytest.mark.parametrize("pass_", PASSES)
def test_other_shapes_fit_hopper(pass_: str, dims: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    assert_compiles(pass_, default(pass_, 90, "bfloat16", dims[0]), 90, "bfloat16", dims, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("walk", SHORT_WALKS)
def test_walks_fit_hopper(walk: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pass_, settings = SHORT_WALKS[walk]
    assert_compiles(pass_, settings, 90, dtype, VIG, monkeypatch)


def test_chunks_are_short_and_segments_have_as_many_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = WALKS["segmented walk"]
    monkeypatch.setattr(triton_fused, "settings_for", lambda *_: chosen)
    q, v = torch.empty(1, 9, 2, 32, device="meta"), torch.empty(1, 9, 2, 64, device="meta")
    settings_of = partial(triton_fused._settings, q, v, q, q)
    found = settings_of("forward")
    assert found.chunk == 32
    assert found.chunk * found.segment == chosen.chunk * chosen.segment
