"""The peer, with a stand-in for its package: what it is fed with, and that gradients go through all of it."""

import sys
from types import ModuleType

import pytest
import torch
from torch import Tensor

from tests.ops.regla.inputs import differentiated, largest_error, make_inputs
from vigbench.ops.gla import external as gla_external
from vigbench.ops.gla import gla
from vigbench.ops.regla.external import fla
from vigbench.ops.regla.interface import default_scale
from vigbench.ops.regla.reference import reference


@pytest.fixture(autouse=True)
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """What the package was called with; it computes what is defined."""
    calls: list[Tensor] = []

    def chunk_gla(q: Tensor, k: Tensor, v: Tensor, g: Tensor, scale: float) -> tuple[Tensor, None]:
        calls.extend((q, k, v, g))
        return gla(q, k, v, g, scale, implementation="torch_chunk"), None

    package = ModuleType("fla.ops.gla")
    package.chunk_gla = chunk_gla  # type: ignore[attr-defined]
    for name, module in (("fla", ModuleType("fla")), ("fla.ops", ModuleType("fla.ops")), ("fla.ops.gla", package)):
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(gla_external, "_first_call", True)
    return calls


def test_it_computes_regla_with_all_gradients() -> None:
    *inputs, grad = make_inputs(40, 8, 6, dtype=torch.float32)
    found = differentiated(lambda *x: fla(*x, 0.5), [*inputs], grad)
    expected = differentiated(lambda *x: reference(*x, 0.5), [x.double() for x in inputs], grad.double())
    assert largest_error(found, expected) <= 2e-6


@pytest.mark.parametrize("reverse", [False, True])
def test_one_direction(reverse: bool) -> None:
    q, k, v, x, y, *_ = make_inputs(40, 8, 6, dtype=torch.float32)
    logits = (None, None, x, y) if reverse else (x, y, None, None)
    torch.testing.assert_close(fla(q, k, v, *logits, 0.5), reference(q, k, v, *logits, 0.5), rtol=1e-5, atol=1e-6)


def test_features_are_rounded_and_log_decays_are_not(seen: list[Tensor]) -> None:
    *inputs, _ = make_inputs(9, 4, 4, dtype=torch.bfloat16)
    fla(*inputs, 0.5)
    assert [x.dtype for x in seen[:4]] == [torch.bfloat16] * 3 + [torch.float32]


def test_the_widest_logits_give_finite_log_decays(seen: list[Tensor]) -> None:
    *inputs, _ = make_inputs(9, 4, 4, spread=100.0, dtype=torch.float32)
    assert fla(*inputs, 0.5).isfinite().all()
    assert all(g.isfinite().all() for g in seen[3::4])


def test_its_costs_are_counted_without_the_package(seen: list[Tensor]) -> None:
    inputs = [x.to("meta") for x in make_inputs(40, 8, 6, dtype=torch.float32)[:7]]
    assert fla(*inputs, default_scale(8)).shape == inputs[2].shape
    assert not seen
