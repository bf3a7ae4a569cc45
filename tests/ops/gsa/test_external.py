"""The peer: what it cannot do is said, with a stand-in for its package."""

import sys
from types import ModuleType

import pytest
import torch
from torch import Tensor

from tests.ops.gsa.inputs import assert_close, sample
from vigbench.ops.gsa import bidirectional_gsa, external
from vigbench.ops.gsa import gsa as own
from vigbench.ops.registry import list_implementations

pytest.importorskip("triton")


@pytest.fixture(autouse=True)
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The gates that the package was called with, in a process that has not called it yet."""
    seen: list[Tensor] = []

    def chunk_gsa(q: Tensor, k: Tensor, v: Tensor, s: Tensor, g: Tensor, scale: float) -> tuple[Tensor, None]:
        seen.append(g)
        return own(q, k, v, s, g, scale, implementation="reference"), None

    package = ModuleType("fla.ops.gsa")
    package.chunk_gsa = chunk_gsa  # type: ignore[attr-defined]
    for name, module in (("fla", ModuleType("fla")), ("fla.ops", ModuleType("fla.ops")), ("fla.ops.gsa", package)):
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(external, "_first_call", True)
    return seen


def inputs(decay: float = -0.1) -> list[Tensor]:
    given = sample("moderate", (1, 6, 1), 2, 3, 4)[:7]
    given[6][0, 2] = decay
    return given


def test_the_mean_of_both_directions(calls: list[Tensor]) -> None:
    given = inputs(-3.0)
    assert_close([external.fla(*given, 0.5)], [bidirectional_gsa(*given, 0.5, "reference")], 1e-6)
    assert torch.equal(calls[0], given[5])
    assert torch.equal(calls[1], given[6].flip(1))


@pytest.mark.parametrize("reverse", [False, True])
def test_a_direction_alone(reverse: bool) -> None:
    q, k, v, s, _, g, _ = inputs()
    ways = (None, s, None, g) if reverse else (s, None, g, None)
    expected = own(q, k, v, s, g, 0.5, reverse, "reference")
    assert_close([external.fla(q, k, v, *ways, 0.5)], [expected], 1e-6)


def test_a_gate_of_minus_infinity_is_refused_before_anything_is_computed(calls: list[Tensor]) -> None:
    with pytest.raises(ValueError, match=r"-inf.*NaN everywhere.*choose another implementation"):
        external.fla(*inputs(-torch.inf), 0.5)
    assert not calls


def test_only_the_first_call_waits_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    external.fla(*inputs(), 0.5)
    monkeypatch.setattr(Tensor, "isneginf", None)  # whoever looks again fails
    external.fla(*inputs(), 0.5)


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
def test_anomaly_mode_looks_at_every_call() -> None:
    external.fla(*inputs(), 0.5)
    with torch.autograd.detect_anomaly(), pytest.raises(ValueError, match="-inf"):
        external.fla(*inputs(-torch.inf), 0.5)


def test_shapes_are_counted_without_the_package(calls: list[Tensor]) -> None:
    assert external.fla(*(x.to("meta") for x in inputs()), 0.5).shape == (1, 6, 1, 3)
    assert not calls


def test_only_the_peer_wants_finite_decays() -> None:
    assert [one.name for one in list_implementations("gsa") if not one.infinite_decay] == ["fla"]
