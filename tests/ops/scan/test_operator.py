"""What PyTorch asks of the operator: shapes without data, autograd, compile, mixed precision, strides, clear errors."""

import pytest
import torch
from torch import Tensor

from tests.measure.allocations import peak_bytes
from tests.ops.scan.samples import Sizes, evaluate, sample
from vigbench.ops.scan import bidirectional_selective_scan, selective_scan
from vigbench.ops.scan.reference import reference
from vigbench.ops.scan.torch_chunk import torch_chunk

OPERATORS = {"reference": reference, "torch_chunk": torch_chunk}


@pytest.fixture(params=OPERATORS)
def implementation(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def inputs() -> list[Tensor]:
    return sample("no initial bias", Sizes(2, 2, 21, 4, 3))  # type: ignore[return-value]


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # opcheck reads it itself
@pytest.mark.parametrize(("directions", "optional"), [(2, True), (1, True), (1, False)])
def test_opcheck(implementation: str, directions: int, optional: bool) -> None:
    tensors = sample("no initial bias", Sizes(directions, 1, 5, 2, 2), optional=optional)
    leaves = [None if x is None else x.double().requires_grad_() for x in tensors]
    torch.library.opcheck(OPERATORS[implementation], (*leaves, 0.5, True, True))
    grad = torch.randn(1, 5, 2, dtype=torch.float64)
    with torch.no_grad():
        backward = getattr(torch.ops.vigbench, f"scan_{implementation}_backward")
        torch.library.opcheck(backward, (grad, *leaves, 0.5, True, True))


def test_gradcheck(implementation: str) -> None:
    leaves = [x.double().requires_grad_() for x in sample("no initial bias", Sizes(2, 1, 4, 2, 2))]  # type: ignore[union-attr]
    assert torch.autograd.gradcheck(lambda *x: bidirectional_selective_scan(*x, True, implementation), leaves)


def test_gradients_of_a_subset(implementation: str, inputs: list[Tensor]) -> None:
    inputs[3] = inputs[3].clone().requires_grad_()
    bidirectional_selective_scan(*inputs, implementation=implementation).sum().backward()
    assert inputs[3].grad is not None
    assert inputs[3].grad.any()
    assert inputs[0].grad is None


def test_any_strides(implementation: str, inputs: list[Tensor]) -> None:
    grad = torch.randn(1, 1, 4).expand(2, 21, 4)
    expected = evaluate(bidirectional_selective_scan, inputs, grad.clone(), True, implementation)
    turned = [x.transpose(0, -1).contiguous().transpose(0, -1) for x in inputs]
    assert not any(x.is_contiguous() for x in turned)
    leaves = [x.detach().requires_grad_() for x in turned]
    out = bidirectional_selective_scan(*leaves, True, implementation)
    for x, y in zip((out, *torch.autograd.grad(out, leaves, grad)), expected, strict=True):
        torch.testing.assert_close(x, y)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_rounds_once(implementation: str, dtype: torch.dtype, inputs: list[Tensor]) -> None:
    half, grad = [x.to(dtype) for x in inputs], torch.randn(2, 21, 4).to(dtype)
    found = evaluate(bidirectional_selective_scan, half, grad, True, implementation)
    exact = evaluate(bidirectional_selective_scan, [x.double() for x in half], grad.double(), True, implementation)
    for x, y in zip(found, exact, strict=True):
        assert x.dtype == dtype
        assert (x.double() - y).abs().max() <= torch.finfo(dtype).eps * y.abs().max()


def test_float32_weights_beside_half_precision(implementation: str, inputs: list[Tensor]) -> None:
    """As in Vim: A, D and the steps' bias stay in float32."""
    half = [x.bfloat16() if i in (0, 1, 3, 4, 6) else x.requires_grad_() for i, x in enumerate(inputs)]
    out = bidirectional_selective_scan(*half, True, implementation)
    out.sum().backward()
    assert out.dtype == torch.bfloat16
    assert half[2].grad is not None
    assert half[2].grad.dtype == torch.float32


def test_autocast_mixes_dtypes_but_rounds_nothing_inside(implementation: str, inputs: list[Tensor]) -> None:
    u, delta, *rest = inputs
    with torch.autocast("cpu", torch.bfloat16):
        out = bidirectional_selective_scan(u, delta.bfloat16(), *rest, True, implementation)
    assert torch.equal(out, bidirectional_selective_scan(u, delta.bfloat16().float(), *rest, True, implementation))


def test_shapes_without_data(implementation: str) -> None:
    u, z = (torch.empty(*shape, 10_000, 64, device="meta", requires_grad=True) for shape in ((2, 3), (3,)))
    A, B = torch.empty(2, 64, 16, device="meta"), torch.empty(2, 3, 10_000, 16, device="meta")
    out = bidirectional_selective_scan(u, u, A, B, B, z=z, implementation=implementation)
    assert (out.shape, out.device.type) == (z.shape, "meta")
    assert torch.autograd.grad(out.sum(), u)[0].shape == u.shape


def test_no_images(implementation: str) -> None:
    empty = [x[:, :0] if i in (0, 1, 3, 4) else x[:0] if i == 6 else x for i, x in enumerate(
        sample("no initial bias", Sizes(2, 1, 5, 3, 2)))]  # type: ignore[index]  # fmt: skip
    assert bidirectional_selective_scan(*empty, True, implementation).shape == (0, 5, 3)  # type: ignore[arg-type]


@pytest.mark.slow
def test_compiles_without_graph_breaks(implementation: str, inputs: list[Tensor]) -> None:
    eager, compiled = ([x.clone().requires_grad_() for x in inputs] for _ in range(2))

    def run(*xs: Tensor) -> Tensor:
        return bidirectional_selective_scan(*xs, delta_softplus=True, implementation=implementation)

    expected, found = run(*eager), torch.compile(run, fullgraph=True)(*compiled)
    torch.testing.assert_close(found, expected)
    expected.sum().backward()
    found.sum().backward()
    for x, y in zip(compiled, eager, strict=True):
        torch.testing.assert_close(x.grad, y.grad)


@pytest.mark.parametrize("backward", [False, True])
def test_states_of_all_tokens_are_never_in_memory(backward: bool) -> None:
    """(length, dim, state) would be 16 times the size of u; memory grows with the length, and no faster."""

    def peak(length: int) -> int:
        inputs = sample("as initialised", Sizes(2, 1, length, 64, 16))
        leaves = [x.detach().requires_grad_(backward) for x in inputs]  # type: ignore[union-attr]
        if not backward:
            return peak_bytes(lambda: bidirectional_selective_scan(*leaves, True, "torch_chunk"))
        out = bidirectional_selective_scan(*leaves, True, "torch_chunk")
        return peak_bytes(lambda: torch.autograd.grad(out, leaves, torch.ones_like(out)))

    short, long = peak(2048), peak(8192)
    assert long <= 4.2 * short
    u = 2 * 8192 * 64 * 4
    assert long <= (6 if backward else 3) * u


def test_clear_errors(implementation: str, inputs: list[Tensor]) -> None:
    u, delta, A, B, C, D, z, bias = inputs

    def expect(message: str, **changed: Tensor) -> None:
        given = {"u": u, "delta": delta, "A": A, "B": B, "C": C, "D": D, "z": z, "delta_bias": bias, **changed}
        with pytest.raises(ValueError, match=message):
            bidirectional_selective_scan(**given, implementation=implementation)

    expect(r"u is \(2, 21, 4\): pass \(2, batch, length, dim\)", u=u[0])
    expect("at least one token", u=u[:, :, :0])
    expect(r"delta is \(2, 2, 20, 4\) .* pass \(2, 2, 21, 4\)", delta=delta[:, :, 1:])
    expect(r"A is \(2, 3, 3\) .* pass \(2, 4, 3\)", A=A[:, 1:])
    expect(r"z is \(2, 20, 4\)", z=z[:, 1:])
    expect("B is torch.float64 but u is torch.float32: give it u's dtype", B=B.double())
    expect("A is torch.int64 but u is torch.float32: give it a floating dtype", A=A.long())
    expect("D is on meta but u is on cpu", D=D.to("meta"))
    with pytest.raises(ValueError, match=f"did you mean '{implementation}'"):
        selective_scan(u[0], delta[0], A[0], B[0], C[0], implementation=implementation + "s")
