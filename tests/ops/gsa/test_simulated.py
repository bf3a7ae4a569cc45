"""The kernels as they are compiled for a GPU, run on the CPU, as tests/ops/gla/test_simulated.py does with GLA's."""

from collections.abc import Iterator

import pytest

pytest.importorskip("triton")

import torch

from tests.ops.gla.compiling import capability_name
from tests.ops.gsa.inputs import assert_close, sample
from tests.ptx.simulate import simulated
from vigbench.measure.operator_check import poisoned_memory
from vigbench.ops.gla import triton_fused as gla_module
from vigbench.ops.gla.kernels import settings
from vigbench.ops.gsa import triton_fused as gsa_module
from vigbench.ops.gsa.reference import _backward, _forward
from vigbench.ops.registry import get_operator

TOLERANCE = get_operator("gsa").tolerance


@pytest.fixture(autouse=True)
def poisoned_outputs() -> Iterator[None]:
    """Memory that a kernel leaves unwritten is NaN."""
    with poisoned_memory():
        yield


def assert_as_defined(
    monkeypatch: pytest.MonkeyPatch, capability: int, dims: tuple[int, int, int], dtype: str, length: int, regime: str
) -> None:
    """Output and gradients of one direction."""
    for module in (settings, gsa_module):
        monkeypatch.setattr(module, "capability_of", lambda _: capability_name(capability))
    monkeypatch.setattr(gla_module, "settings_for", settings.settings_for.__wrapped__)  # which keeps what it found
    q, k, v, s, _, g, _, grad = [x.to(getattr(torch, dtype)) for x in sample(regime, (1, length, 1), *dims)]
    given = (q, k, v, s, None, g, None)
    exact = [None if x is None else x.double() for x in given]
    expected = [_forward(*exact, 0.5), *_backward(grad.double(), *exact, 0.5)]
    with simulated(capability):
        found = [gsa_module._forward(*given, 0.5), *gsa_module._backward(grad, *given, 0.5)]
    assert_close(found, expected, TOLERANCE[dtype])


def test_bfloat16_on_hopper(monkeypatch: pytest.MonkeyPatch) -> None:
    """Logits are multiplied by warp groups there."""
    assert_as_defined(monkeypatch, 90, (16, 32, 16), "bfloat16", 40, "as trained")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("capability", "dims", "dtype", "length", "regime_"),
    [
        (90, (32, 64, 32), "bfloat16", 130, "as initialised"),
        (90, (64, 64, 64), "bfloat16", 70, "as trained"),
        (90, (16, 32, 16), "float16", 70, "as trained"),
        (90, (16, 16, 16), "bfloat16", 70, "hard mixture"),
        (90, (16, 16, 128), "bfloat16", 35, "as trained"),
        (90, (20, 24, 12), "float32", 35, "as trained"),
        (80, (32, 64, 32), "bfloat16", 70, "as trained"),
        (80, (16, 32, 16), "float16", 35, "hard mixture"),
    ],
)
def test_shapes_precisions_and_decays(
    monkeypatch: pytest.MonkeyPatch, capability: int, dims: tuple[int, int, int], dtype: str, length: int, regime_: str
) -> None:
    assert_as_defined(monkeypatch, capability, dims, dtype, length, regime_)
