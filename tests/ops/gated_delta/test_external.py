"""The peers: what they cannot do is said, with stand-ins for their packages."""

import sys
from collections.abc import Callable
from functools import wraps
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.ops.gated_delta.inputs import assert_close, sample
from vigbench.ops.gated_delta import bidirectional_gated_delta, external
from vigbench.ops.gated_delta import gated_delta as own
from vigbench.ops.registry import get_implementation, list_implementations

pytest.importorskip("triton")

PEERS: dict[str, Callable[..., Tensor]] = {"fla": external.fla, "flash_qla": external.flash_qla}


@pytest.fixture(autouse=True)
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Tensor, Tensor]]:
    """The gates that a package was called with, in a process that has not called it yet."""
    seen: list[tuple[Tensor, Tensor]] = []

    def chunk_gated_delta_rule(
        q: Tensor, k: Tensor, v: Tensor, g: Tensor, beta: Tensor, scale: float
    ) -> tuple[Tensor, None]:
        seen.append((g, beta))
        return own(q, k, v, g, beta, scale, implementation="reference"), None

    @wraps(chunk_gated_delta_rule)
    def handed_over(*_: Any, **__: Any) -> None:
        raise AssertionError("flash-linear-attention hands the call to another package")

    for name in ("fla", "fla.ops", "fla.ops.gated_delta_rule", "flash_qla"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    sys.modules["fla.ops.gated_delta_rule"].chunk_gated_delta_rule = handed_over  # type: ignore[attr-defined]
    sys.modules["flash_qla"].chunk_gated_delta_rule = chunk_gated_delta_rule  # type: ignore[attr-defined]
    monkeypatch.setattr(external, "_called", set())
    monkeypatch.setattr(external, "FLASH_QLA_DIM", 4)
    return seen


def inputs(decay: float = -0.1) -> list[Tensor]:
    given = sample("moderate", (1, 6, 1), 4, 4)[:7]
    given[4][0, 2] = decay
    return given


@pytest.mark.parametrize("peer", PEERS)
def test_both_directions_are_added(peer: str, calls: list[tuple[Tensor, Tensor]]) -> None:
    given = inputs(-3.0)
    assert_close([PEERS[peer](*given, 0.25)], [bidirectional_gated_delta(*given, 0.5, "reference")], 1e-6)
    (g_fwd, beta_fwd), (g_bwd, beta_bwd) = calls
    assert torch.equal(g_fwd, given[3])
    assert torch.equal(g_bwd, given[4].flip(1))
    assert torch.equal(beta_fwd, given[5])
    assert torch.equal(beta_bwd, given[6].flip(1))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("peer", PEERS)
def test_a_direction_alone(peer: str, reverse: bool) -> None:
    q, k, v, _, g, _, beta = inputs()
    gates = (None, g, None, beta) if reverse else (g, None, beta, None)
    expected = own(q, k, v, g, beta, 0.5, reverse, "reference")
    assert_close([PEERS[peer](q, k, v, *gates, 0.5)], [expected], 1e-6)


@pytest.mark.parametrize("peer", PEERS)
def test_minus_infinity_is_refused_before_anything_is_computed(peer: str, calls: list[tuple[Tensor, Tensor]]) -> None:
    with pytest.raises(ValueError, match=r"-inf.*returns NaN.*choose another implementation"):
        PEERS[peer](*inputs(-torch.inf), 0.5)
    assert not calls


@pytest.mark.parametrize("peer", PEERS)
def test_only_the_first_call_waits_for_the_device(peer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    PEERS[peer](*inputs(), 0.5)
    monkeypatch.setattr(Tensor, "isneginf", None)  # whoever looks again fails
    PEERS[peer](*inputs(), 0.5)


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
@pytest.mark.parametrize("peer", PEERS)
def test_anomaly_mode_looks_at_every_call(peer: str) -> None:
    PEERS[peer](*inputs(), 0.5)
    with torch.autograd.detect_anomaly(), pytest.raises(ValueError, match="-inf"):
        PEERS[peer](*inputs(-torch.inf), 0.5)


@pytest.mark.parametrize("peer", PEERS)
def test_shapes_are_counted_without_the_package(peer: str, calls: list[tuple[Tensor, Tensor]]) -> None:
    assert PEERS[peer](*(x.to("meta") for x in inputs()), 0.5).shape == (1, 6, 1, 4)
    assert not calls


def test_channels_that_a_package_does_not_take() -> None:
    q, k, v, *gates = sample("moderate", (1, 6, 1), 8, 4)[:7]
    with pytest.raises(ValueError, match=r"FlashQLA takes 4 channels a head: choose another implementation"):
        external.flash_qla(q, k, v, *gates, 0.5)
    wide = q.repeat_interleave(64, -1)
    with pytest.raises(ValueError, match=r"512 channels a head.*256 at most: choose another implementation"):
        external.fla(wide, wide, v, *gates, 0.5)


@pytest.mark.parametrize(("capability", "runs"), [("9.0", True), ("10.3", True), ("8.0", False), ("gfx942", False)])
def test_flash_qla_runs_where_it_has_kernels(capability: str, runs: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(external, "capability_of", lambda _: capability)
    reason = external.flash_qla_unsupported_reason()
    assert (reason is None) == runs
    assert runs or capability in (reason or "")


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vigbench.ops.declaration.find_spec", lambda _: None)
    reason = get_implementation("gated_delta", "flash_qla").unsupported_reason("cuda")
    assert reason == "tilelang, flash_qla are not installed: pip install tilelang flash-qla"


def test_only_peers_want_finite_decays() -> None:
    assert [one.name for one in list_implementations("gated_delta") if not one.infinite_decay] == list(PEERS)
