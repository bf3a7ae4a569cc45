"""The peer, with a stand-in for its package: how it is called, and what is said where it cannot be."""

import sys
from types import ModuleType

import pytest
import torch
from torch import Tensor

from vigbench.ops.linear_attention import external, linear_attention
from vigbench.ops.linear_attention.external import flash_bla
from vigbench.ops.registry import UnsupportedError, get_implementation

triton = pytest.importorskip("triton")


@pytest.fixture(autouse=True)
def package(monkeypatch: pytest.MonkeyPatch) -> None:
    """It computes what its documentation says, with heads before tokens."""

    def normed(q: Tensor, k: Tensor, v: Tensor, scale: float | None = None, eps: float = 1e-6) -> Tensor:
        scale = k.shape[-2] ** -1.0 if scale is None else scale
        return q @ (k.mT @ v * scale) / (q @ k.mean(-2, keepdim=True).mT + eps)

    def simple_la(q: Tensor, k: Tensor, v: Tensor, scale: float | None = None) -> Tensor:
        return q @ (k.mT @ v * (q.shape[-1] ** -0.5 if scale is None else scale))

    modules = {
        name: ModuleType(name)
        for name in ("flash_bla", "flash_bla.ops", "flash_bla.ops.linear_attn", "flash_bla.ops.simple_la")
    }
    linear, simple = ModuleType("fused"), ModuleType("fused")
    linear.linear_attention = normed  # type: ignore[attr-defined]
    simple.simple_la = simple_la  # type: ignore[attr-defined]
    modules |= {"flash_bla.ops.linear_attn.fused": linear, "flash_bla.ops.simple_la.fused": simple}
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)


@pytest.mark.parametrize("normalised", [False, True])
def test_it_computes_linear_attention(normalised: bool) -> None:
    q, k, v = (torch.rand(2, 20, 3, dim) for dim in (16, 16, 32))
    expected = linear_attention(q, k, v, normalised, implementation="reference")
    torch.testing.assert_close(flash_bla(q, k, v, 0.25, normalised), expected)


@pytest.mark.parametrize(("key_dim", "value_dim"), [(8, 16), (16, 24)])
def test_heads_that_its_kernels_do_not_take(key_dim: int, value_dim: int) -> None:
    q, v = torch.rand(2, 20, 3, key_dim), torch.rand(2, 20, 3, value_dim)
    with pytest.raises(UnsupportedError, match=r"16, 32, 64.*choose torch_matmul"):
        flash_bla(q, q, v, 0.25, False)


def test_its_costs_are_counted_without_the_package() -> None:
    q = torch.empty(2, 20, 3, 8, device="meta")
    assert flash_bla(q, q, q, 0.25, True).shape == q.shape


def test_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("flash_bla")]:
        monkeypatch.delitem(sys.modules, name)
    reason = get_implementation("linear_attention", "flash_bla").unsupported_reason("cuda")
    if reason is not None and "not installed" in reason:
        assert "pip install git+https://github.com/fla-org/flash-bidirectional-linear-attention" in reason


def test_a_triton_without_block_pointers_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(triton.language, "make_block_ptr", raising=False)
    assert "triton < 3.9" in (external.unsupported_reason() or "")
    monkeypatch.setattr(triton.language, "make_block_ptr", object(), raising=False)
    assert external.unsupported_reason() is None
