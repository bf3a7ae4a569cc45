"""The kernels as they are compiled for a GPU, run on the CPU: bfloat16, layouts, barriers and asynchronous products.

The interpreter runs what Triton's language says; this runs what Triton's compiler made of it.
"""

from collections.abc import Iterator

import pytest

pytest.importorskip("triton")

import torch
from torch import Tensor

from tests.ops.conftest import sample
from tests.ptx.simulate import simulated
from vigbench.measure.operator_check import poisoned_memory
from vigbench.ops.gla import triton_fused as triton_module
from vigbench.ops.gla.kernels import settings
from vigbench.ops.gla.kernels.settings import GlaSettings
from vigbench.ops.gla.reference import reference
from vigbench.ops.gla.triton_fused import triton_fused

Dims = tuple[int, int]
ALLOWED = {torch.bfloat16: 1e-2, torch.float16: 2e-3, torch.float32: 2e-6}
NAMES = ("o", "dq", "dk", "dv", "dg_fwd", "dg_bwd")


@pytest.fixture(autouse=True)
def poisoned_outputs() -> Iterator[None]:
    """Memory that a kernel leaves unwritten is NaN."""
    with poisoned_memory():
        yield


def differentiated(inputs: list[Tensor], grad: Tensor, run: object) -> list[Tensor]:
    leaves = [x.detach().requires_grad_() for x in inputs]
    o = run(*leaves, 0.5)  # type: ignore[operator]
    return [o.detach(), *torch.autograd.grad(o, leaves, grad)]


def assert_as_defined(
    monkeypatch: pytest.MonkeyPatch,
    capability: int,
    dims: tuple[int, int],
    dtype: torch.dtype,
    length: int,
    regime: str,
    walk: GlaSettings | bool | None = None,
    back: GlaSettings | None = None,
) -> None:
    """`walk`: settings of one, False for two passes, None for what is chosen; `back`: of one for gradients."""
    monkeypatch.setattr(settings, "capability_of", lambda _: f"{capability // 10}.{capability % 10}")
    monkeypatch.setattr(triton_module, "settings_for", settings.settings_for.__wrapped__)  # which keeps what it found
    if back is not None:
        default = settings.default_settings
        chosen = lambda c, d, pass_, *rest: back if pass_ == "backward" else default(c, d, pass_, *rest)  # noqa: E731
        monkeypatch.setattr(settings, "default_settings", chosen)
    if walk is not None:
        monkeypatch.setattr(settings, "walk_settings", lambda *_: walk or None)
    *inputs, grad = [x.to(dtype) for x in sample(regime, (1, length, 1), *dims)]
    expected = differentiated([x.double() for x in inputs], grad.double(), reference)
    with simulated(capability):
        found = differentiated(inputs, grad, triton_fused)
    for name, x, y in zip(NAMES, found, expected, strict=True):
        assert torch.isfinite(x).all(), name
        assert (x.double() - y).abs().max() <= ALLOWED[dtype] * y.abs().max(), name


def test_the_shape_of_vig_h_in_bfloat16_on_hopper(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gradients that came out wrong on an H200 when they were multiplied by warp groups."""
    assert_as_defined(monkeypatch, 90, (16, 32), torch.bfloat16, 40, "as trained")


@pytest.mark.parametrize("dims", [(16, 32), pytest.param((32, 64), marks=pytest.mark.slow)])
@pytest.mark.parametrize("segment", [100, 2])
@pytest.mark.parametrize(("capability", "dtype"), [(90, torch.bfloat16), (90, torch.float16), (80, torch.bfloat16)])
def test_a_walk_for_gradients(
    capability: int, dtype: torch.dtype, segment: int, dims: Dims, monkeypatch: pytest.MonkeyPatch
) -> None:
    back = settings.WALK_BACK._replace(segment=segment)
    assert_as_defined(monkeypatch, capability, dims, dtype, 70, "as trained", back=back)


@pytest.mark.parametrize("dims", [(16, 32), pytest.param((32, 64), marks=pytest.mark.slow)])
@pytest.mark.parametrize("walk", [False, settings.WALK._replace(segment=100), settings.WALK._replace(segment=1)])
def test_two_passes_and_walks_on_hopper(walk: GlaSettings | bool, dims: Dims, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_as_defined(monkeypatch, 90, dims, torch.bfloat16, 130, "as trained", walk)


@pytest.mark.parametrize("regime_", ["as trained", "hard mixture"])
@pytest.mark.parametrize("segment", [100, 1])
def test_a_walk_of_single_warps(segment: int, regime_: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose states are not turned around."""
    walk = settings.WALK._replace(chunk=32, segment=segment)
    assert_as_defined(monkeypatch, 80, (32, 64), torch.bfloat16, 70, regime_, walk)


@pytest.mark.slow
@pytest.mark.parametrize("segment", [100, 1])
def test_a_walk_with_strong_decays_on_hopper(segment: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which are multiplied, too, before it is known that they are not to be."""
    walk = settings.WALK._replace(segment=segment)
    assert_as_defined(monkeypatch, 90, (32, 64), torch.bfloat16, 130, "hard mixture", walk)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("capability", "dims", "dtype", "length", "regime_"),
    [
        (90, (32, 64), torch.bfloat16, 130, "as initialised"),
        (90, (16, 32), torch.float16, 70, "as trained"),
        (90, (64, 64), torch.bfloat16, 35, "edge of mild"),
        (90, (16, 16), torch.bfloat16, 70, "hard mixture"),
        (90, (16, 128), torch.bfloat16, 35, "as trained"),
        (90, (20, 24), torch.float32, 35, "as trained"),
        (80, (32, 64), torch.bfloat16, 70, "as trained"),
        (80, (16, 32), torch.float16, 35, "hard mixture"),
    ],
)
def test_shapes_precisions_and_decays(
    monkeypatch: pytest.MonkeyPatch,
    capability: int,
    dims: tuple[int, int],
    dtype: torch.dtype,
    length: int,
    regime_: str,
) -> None:
    assert_as_defined(monkeypatch, capability, dims, dtype, length, regime_)
