"""The peer: what it cannot do is said, with a stand-in for its package."""

import sys
from importlib.metadata import PackageNotFoundError
from types import ModuleType

import pytest
import torch
from torch import Tensor

from vigbench.ops.gla import bidirectional_gla, external
from vigbench.ops.registry import get_implementation, list_implementations

triton = pytest.importorskip("triton")


@pytest.fixture(autouse=True)
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The gates that the package was called with, in a process that has not called it yet."""
    seen: list[Tensor] = []

    def chunk_gla(q: Tensor, k: Tensor, v: Tensor, g: Tensor, scale: float) -> tuple[Tensor, None]:
        seen.append(g)
        return v * scale, None

    package = ModuleType("fla.ops.gla")
    package.chunk_gla = chunk_gla  # type: ignore[attr-defined]
    for name, module in (("fla", ModuleType("fla")), ("fla.ops", ModuleType("fla.ops")), ("fla.ops.gla", package)):
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(external, "_first_call", True)
    return seen


def inputs(decay: float = -0.1) -> list[Tensor]:
    q, k, v = (torch.randn(1, 4, 1, 2) for _ in range(3))
    gates = [torch.full_like(q, -0.1), torch.full_like(q, -0.1)]
    gates[1][0, 2] = decay
    return [q, k, v, *gates]


def test_both_directions_are_added(calls: list[Tensor]) -> None:
    q, k, v, g_fwd, g_bwd = inputs(-3.0)
    torch.testing.assert_close(external.fla(q, k, v, g_fwd, g_bwd, 0.5), v)
    assert torch.equal(calls[0], g_fwd)
    assert torch.equal(calls[1], g_bwd.flip(1))


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


@pytest.mark.parametrize("name", ["torch_chunk", "reference"])
def test_what_takes_infinite_decays_computes_them(name: str) -> None:
    assert get_implementation("gla", name).infinite_decay
    q, k, v, g_fwd, g_bwd = inputs(-torch.inf)
    assert bidirectional_gla(q, k, v, g_fwd, g_bwd, implementation=name).isfinite().all()


def test_only_the_peer_wants_finite_decays() -> None:
    assert [one.name for one in list_implementations("gla") if not one.infinite_decay] == ["fla"]


@pytest.mark.parametrize(
    ("core", "whole", "runs"),
    [
        ("0.5.1", "0.5.1", False),
        ("0.5.2", "0.5.2", True),
        ("0.6.0", "0.5.1", True),  # the kernels are the core's
        (None, "0.4.0", False),
        (None, "0.10.0", True),
        (None, None, True),
    ],
)
@pytest.mark.parametrize("has_pointers", [True, False])
def test_an_old_release_is_asked_to_change_where_triton_has_no_block_pointers(
    core: str | None, whole: str | None, runs: bool, has_pointers: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(package: str) -> str:
        found = {"fla-core": core, "flash-linear-attention": whole}[package]
        if found is None:
            raise PackageNotFoundError(package)
        return found

    monkeypatch.setattr(external, "version", version)
    if has_pointers:
        monkeypatch.setattr(triton.language, "make_block_ptr", object(), raising=False)
    else:
        monkeypatch.delattr(triton.language, "make_block_ptr", raising=False)
    reason = external.unsupported_reason()
    assert (reason is None) == (runs or has_pointers)
    if reason is not None:
        assert (core or whole or "") in reason
        assert "flash-linear-attention>=0.5.2" in reason
        assert "triton < 3.9" in reason
