"""What PyTorch asks of an operator: shapes without data, autograd, compile, mixed precision, strides, clear errors."""

from functools import partial

import pytest
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from tests.ops.biwkv.inputs import assert_close, differentiated, doubled, sample
from vigbench.ops.biwkv import bi_wkv
from vigbench.ops.biwkv.reference import reference
from vigbench.ops.biwkv.torch_scan import torch_scan
from vigbench.ops.dispatch import selected_implementation

IMPLEMENTATIONS = {"reference": reference, "torch_scan": torch_scan}

pytestmark = pytest.mark.parametrize("implementation", IMPLEMENTATIONS)


@pytest.fixture
def inputs() -> list[Tensor]:
    """w, u, k, v."""
    return sample("as trained", (2, 30, 6))[:4]


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # opcheck reads it itself
def test_opcheck(implementation: str) -> None:
    *xs, grad = sample("as trained", (1, 5, 2), torch.float64)
    torch.library.opcheck(IMPLEMENTATIONS[implementation], [x.requires_grad_() for x in xs])
    with torch.no_grad():
        torch.library.opcheck(getattr(torch.ops.vigbench, f"biwkv_{implementation}_backward"), (grad, *xs))


def test_gradcheck(implementation: str) -> None:
    xs = [x.requires_grad_() for x in sample("as trained", (2, 6, 2), torch.float64)[:4]]
    assert torch.autograd.gradcheck(partial(bi_wkv, implementation=implementation), xs)


def test_gradients_of_a_subset(implementation: str, inputs: list[Tensor]) -> None:
    w, u, k, v = inputs
    k.requires_grad_()
    bi_wkv(w, u, k, v, implementation).square().sum().backward()
    assert k.grad is not None
    assert k.grad.abs().sum() > 0
    assert w.grad is None


def test_any_strides_and_an_expanded_gradient(implementation: str, inputs: list[Tensor]) -> None:
    w, u, k, v = inputs
    grad = torch.ones(1).expand_as(v)
    expected = differentiated(partial(bi_wkv, implementation=implementation), [*inputs, grad.contiguous()])
    strided = [x.permute(2, 0, 1).contiguous().permute(1, 2, 0) for x in (k, v)]
    wide = torch.stack((w, u), 1)
    found = differentiated(partial(bi_wkv, implementation=implementation), [*wide.unbind(1), *strided, grad])
    assert not any(x.is_contiguous() for x in (*strided, wide[:, 0], grad))
    assert_close(found, expected, 1e-7)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_rounds_once(implementation: str, dtype: torch.dtype) -> None:
    half = sample("as trained", (2, 30, 6), dtype)
    found = differentiated(partial(bi_wkv, implementation=implementation), half)
    assert [x.dtype for x in found] == [dtype, torch.float32, torch.float32, dtype, dtype]
    assert_close(found, differentiated(reference, doubled(half)), torch.finfo(dtype).eps)
    w, u, k, v, _ = half
    assert bi_wkv(w.to(dtype), u.to(dtype), k, v, implementation).dtype == dtype


def test_autocast_mixes_dtypes_but_rounds_nothing_inside(implementation: str, inputs: list[Tensor]) -> None:
    w, u, k, v = inputs
    with torch.autocast("cpu", torch.bfloat16):
        y = bi_wkv(w, u, k.bfloat16(), v, implementation)
    assert torch.equal(y, bi_wkv(w, u, k.bfloat16().float(), v, implementation))


def test_shapes_without_data(implementation: str) -> None:
    w = torch.empty(192, device="meta", requires_grad=True)
    k = torch.empty(2, 10_000, 192, device="meta", dtype=torch.bfloat16)
    y = bi_wkv(w, w, k, k, implementation)
    assert (y.shape, y.dtype, y.device.type) == (k.shape, k.dtype, "meta")
    assert torch.autograd.grad(y.sum(), w)[0].shape == w.shape


def test_one_token_and_no_images(implementation: str, inputs: list[Tensor]) -> None:
    w, u, k, v = inputs
    assert torch.equal(bi_wkv(w, u, k[:, :1], v[:, :1], implementation), v[:, :1])
    found = differentiated(partial(bi_wkv, implementation=implementation), [w, u, k[:0], v[:0], v[:0]])
    assert found[0].shape == (0, 30, 6)
    assert not found[1].any()


def test_profiler_sees_one_operator(implementation: str, inputs: list[Tensor]) -> None:
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        bi_wkv(*inputs, implementation)
    counts = {event.key: event.count for event in profiled.key_averages()}
    assert counts[f"vigbench::biwkv_{implementation}"] == 1


@pytest.mark.parametrize("name", ["auto", None])
def test_compiles_without_graph_breaks(implementation: str, name: str | None, inputs: list[Tensor]) -> None:
    def run(*xs: Tensor) -> Tensor:
        return 2 * bi_wkv(*xs, name or implementation)

    compiled = torch.compile(run, fullgraph=True, backend="aot_eager")
    grad = torch.ones_like(inputs[3])
    assert_close(differentiated(compiled, [*inputs, grad]), differentiated(run, [*inputs, grad]), 1e-7)


def test_auto_scans_where_triton_cannot(implementation: str, inputs: list[Tensor]) -> None:
    assert selected_implementation("biwkv", "auto", *inputs) == "torch_scan"
    assert selected_implementation("biwkv", "auto", *doubled(inputs)) == "torch_scan"
    assert selected_implementation("biwkv", implementation, *inputs) == implementation


def test_clear_errors(implementation: str, inputs: list[Tensor]) -> None:
    w, u, k, v = inputs

    def expect(message: str, *xs: Tensor) -> None:
        with pytest.raises(ValueError, match=message):
            bi_wkv(*xs, implementation)

    expect(r"k is \(30, 6\): pass \(batch, length, channels\)", w, u, k[0], v[0])
    expect("at least one of each", w, u, k[:, :0], v[:, :0])
    expect(r"v is \(2, 29, 6\) but k is .* same shape", w, u, k, v[:, 1:])
    expect(r"w is \(5,\) but k is .* pass \(6,\), one a channel", w[1:], u, k, v)
    expect(r"u is \(1, 6\)", w, u[None], k, v)
    expect("v is torch.float64 but k is torch.float32", w, u, k, v.double())
    expect("w is torch.float64 .* k's dtype or float32", w.double(), u, k, v)
    expect("k is torch.int64", w, u, k.long(), v.long())
    expect("u is on meta but k is on cpu", w, u.to("meta"), k, v)
    with pytest.raises(ValueError, match=f"did you mean '{implementation}'"):
        bi_wkv(*inputs, implementation + "s")
