"""The peers: how they are called and what they cannot do, with stand-ins for their packages."""

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.ops.scalar_gla.inputs import sample, ssd_sample, worst_error
from vigbench.ops.registry import UnsupportedError, list_implementations
from vigbench.ops.scalar_gla import external, retention, scalar_gla, ssd

Calls = list[dict[str, Any]]


def install(monkeypatch: pytest.MonkeyPatch, module: str, function: Callable[..., Any]) -> None:
    """A package that has this function in one of its modules, and nothing else."""
    parts = module.split(".")
    for n in range(1, len(parts)):
        monkeypatch.setitem(sys.modules, ".".join(parts[:n]), ModuleType(".".join(parts[:n])))
    last = ModuleType(module)
    setattr(last, function.__name__, function)
    monkeypatch.setitem(sys.modules, module, last)


@pytest.fixture(autouse=True)
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Of the packages, which compute what is defined, in a process that has not called them yet."""
    seen: Calls = []

    def chunk_simple_gla(
        q: Tensor, k: Tensor, v: Tensor, g: Tensor | None = None, g_gamma: Tensor | None = None, scale: float = 1.0
    ) -> tuple[Tensor, None]:
        seen.append({"g": g, "g_gamma": g_gamma})
        decays = g if g_gamma is None else g_gamma.expand(q.shape[:3])
        assert decays is not None
        return scalar_gla(q, k, v, decays, scale, implementation="torch_chunk"), None

    def mamba_chunk_scan_combined(
        x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, chunk_size: int, D: Tensor | None = None
    ) -> Tensor:
        seen.append({"A": A, "chunk_size": chunk_size})
        return ssd(x, dt, A, B, C, D, implementation="torch_chunk")

    install(monkeypatch, "fla.ops.simple_gla", chunk_simple_gla)
    install(monkeypatch, "mamba_ssm.ops.triton.ssd_combined", mamba_chunk_scan_combined)
    monkeypatch.setattr(external, "_first_call", True)
    return seen


def test_both_directions_are_added(calls: Calls) -> None:
    q, k, v, g_fwd, g_bwd, _ = sample("moderate", (1, 20, 2), 4, 3)
    expected = torch.ops.vigbench.scalar_gla_torch_chunk(q, k, v, g_fwd, g_bwd, 0.5)
    assert worst_error([external.fla(q, k, v, g_fwd, g_bwd, 0.5)], [expected]) <= 1e-6
    assert torch.equal(calls[0]["g"], g_fwd)
    assert torch.equal(calls[1]["g"], g_bwd.flip(1))


def test_decays_of_heads_are_given_as_such_unless_their_gradient_is_asked_for(calls: Calls) -> None:
    q, k, v, _, _, _ = sample("moderate", (2, 20, 2), 4, 3)
    log_decay = torch.tensor([-0.1, -0.2])
    expected = retention(q, k, v, log_decay, 0.5, True, "torch_chunk")
    decays = log_decay.expand(2, 20, 2)
    assert worst_error([external.fla(q, k, v, None, decays, 0.5)], [expected]) <= 1e-6
    assert torch.equal(calls[-1]["g_gamma"], log_decay)
    decays = log_decay.requires_grad_().expand(2, 20, 2)
    assert external.fla(q, k, v, None, decays, 0.5).requires_grad
    assert calls[-1]["g_gamma"] is None


@pytest.mark.parametrize("name", external.SSD_PEERS)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("skip", [False, True])
def test_ssd(name: str, reverse: bool, skip: bool, calls: Calls) -> None:
    x, dt, a, b, c, d, _ = ssd_sample(20, 4, 2)
    given = (x, dt, a, b, c, d if skip else None, reverse)
    expected = ssd(*given, implementation="reference")
    assert worst_error([external.SSD_PEERS[name](*given)], [expected]) <= 2e-6
    assert name == "fla" or calls[0]["chunk_size"] == external.MAMBA_CHUNK


def test_mamba_ssm_computes_nothing_else() -> None:
    with pytest.raises(UnsupportedError, match=r"mamba_ssm computes ssd alone.*choose fla"):
        external.mamba_ssm(*sample("moderate", (1, 4, 1), 2, 2)[:5], 1.0)


def test_a_package_that_cannot_be_imported_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert external.mamba_unsupported_reason() is None
    monkeypatch.setitem(sys.modules, "mamba_ssm.ops.triton.ssd_combined", None)
    assert "mamba-ssm is installed but cannot be imported" in str(external.mamba_unsupported_reason())


def test_a_decay_of_minus_infinity_is_refused_before_anything_is_computed(calls: Calls) -> None:
    q, k, v, _, g_bwd, _ = sample("hard mixture", (1, 40, 2), 4, 3)
    with pytest.raises(ValueError, match=r"-inf.*returns NaN.*choose another implementation"):
        external.fla(q, k, v, None, g_bwd, 0.5)
    assert not calls


def test_only_the_first_call_waits_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    q, k, v, g_fwd, g_bwd, _ = sample("moderate", (1, 4, 1), 2, 2)
    external.fla(q, k, v, g_fwd, g_bwd, 0.5)
    monkeypatch.setattr(Tensor, "isneginf", None)  # whoever looks again fails
    external.fla(q, k, v, g_fwd, g_bwd, 0.5)


def test_only_the_peers_want_finite_decays() -> None:
    wanting = [one.name for one in list_implementations("scalar_gla") if not one.infinite_decay]
    assert wanting == ["fla", "mamba_ssm"]
