"""Triton's kernels on the CPU, in Triton's interpreter: run by test_interpreted.py, in a process of its own."""

import os

import pytest
import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

if os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip("needs TRITON_INTERPRET=1 before Triton is imported", allow_module_level=True)

from tests.ops.interpreted.gla_comparison import (  # noqa: F401
    ALLOWED,
    SMALL,
    SMALLEST_HALF,
    MakeInputs,
    Operator,
    assert_as_defined,
    differentiated,
    poisoned_outputs,
    settings_anew,
)
from vigbench.ops import kernel_launch
from vigbench.ops.gla.kernels import key_gradients, launch, outputs, state, walk
from vigbench.ops.gla.kernels import settings as kernel_settings
from vigbench.ops.gla.reference import reference
from vigbench.ops.gla.triton_fused import triton_fused
from vigbench.ops.gla.triton_recurrent import triton_recurrent
from vigbench.ops.gla.triton_unfused import triton_unfused
from vigbench.worker.trial import Trial
from vigbench.worker.workload import Workload

IMPLEMENTATIONS = {"fused": triton_fused, "unfused": triton_unfused}


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_settings, "default_settings", lambda *_: SMALL)


@pytest.mark.parametrize("dtype", ALLOWED)
def test_every_decay_regime(regime: str, dtype: torch.dtype, small_blocks: None, make_inputs: MakeInputs) -> None:
    *inputs, grad = [x.to(dtype) for x in make_inputs(regime, (1, 37, 1), 16, 16)]
    assert_as_defined(triton_fused, inputs, grad)


@pytest.mark.parametrize("dtype", ALLOWED)
@pytest.mark.parametrize("regime_", ["as trained", "hard mixture"])
def test_default_blocks(regime_: str, dtype: torch.dtype, make_inputs: MakeInputs) -> None:
    *inputs, grad = [x.to(dtype) for x in make_inputs(regime_, (1, 35, 1), 32, 16)]
    assert_as_defined(triton_fused, inputs, grad)


@pytest.mark.parametrize("regime_", ["as trained", "strong"])
def test_unfused(regime_: str, small_blocks: None, make_inputs: MakeInputs) -> None:
    *inputs, grad = make_inputs(regime_, (2, 37, 1), 16, 16)
    assert_as_defined(triton_unfused, inputs, grad)


@pytest.mark.parametrize("length", [1, 2, 15, 16, 17, 131])
@pytest.mark.parametrize("dtype", ALLOWED)
def test_lengths(length: int, dtype: torch.dtype, small_blocks: None, make_inputs: MakeInputs) -> None:
    *inputs, grad = [x.to(dtype) for x in make_inputs("as trained", (1, length, 2), 16, 32)]
    assert_as_defined(triton_fused, inputs, grad)


@pytest.mark.parametrize(
    ("key_dim", "value_dim", "dtype"),
    [
        (32, 64, torch.float32),
        (32, 64, torch.float16),
        (16, 32, torch.float16),
        (64, 64, torch.float32),
        (128, 16, torch.float16),
        (16, 128, torch.float32),
        (20, 24, torch.float32),
        (2, 3, torch.float16),
    ],
)
def test_dimensions(key_dim: int, value_dim: int, dtype: torch.dtype, make_inputs: MakeInputs) -> None:
    *inputs, grad = [x.to(dtype) for x in make_inputs("as initialised", (1, 35, 1), key_dim, value_dim)]
    assert_as_defined(triton_fused, inputs, grad)


@pytest.mark.parametrize("regime_", ["as trained", "hard mixture"])
@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_one_direction(regime_: str, name: str, small_blocks: None, make_inputs: MakeInputs) -> None:
    q, k, v, g_fwd, g_bwd, grad = make_inputs(regime_, (1, 20, 1), 16, 16)
    assert_as_defined(IMPLEMENTATIONS[name], [q, k, v, g_fwd, None], grad)
    assert_as_defined(IMPLEMENTATIONS[name], [q, k, v, None, g_bwd], grad)


@pytest.mark.parametrize("dtype", ALLOWED)
def test_recurrent(regime: str, dtype: torch.dtype, make_inputs: MakeInputs) -> None:
    q, k, v, g_fwd, g_bwd, _ = [x.to(dtype) for x in make_inputs(regime, (2, 9, 2), 12, 20)]
    for gates in ((g_fwd, g_bwd), (g_fwd, None), (None, g_bwd)):
        expected = reference(*(None if x is None else x.double() for x in (q, k, v, *gates)), 0.5)
        found = triton_recurrent(q, k, v, *gates, 0.5)
        assert found.dtype == dtype
        assert (found.double() - expected).abs().max() <= ALLOWED[dtype] * expected.abs().max()


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    length=st.integers(1, 40),
    rows=st.sampled_from([(1, 1), (1, 2), (2, 1)]),
    key_dim=st.integers(2, 20),
    value_dim=st.integers(2, 20),
    shift=st.floats(-30, 5),
    spread=st.floats(0, 8),
    seed=st.integers(0, 1000),
)
def test_any_shape_and_decay(
    length: int, rows: tuple[int, int], key_dim: int, value_dim: int, shift: float, spread: float, seed: int
) -> None:
    torch.manual_seed(seed)
    batch, heads = rows
    q, k, g_fwd, g_bwd = (torch.randn(batch, length, heads, key_dim) for _ in range(4))
    v, grad = (torch.randn(batch, length, heads, value_dim) for _ in range(2))
    g_fwd, g_bwd = (F.logsigmoid(spread * g + shift) for g in (g_fwd, g_bwd))
    assert_as_defined(triton_fused, [q, k, v, g_fwd, g_bwd], grad)


def test_the_same_bits_again(make_inputs: MakeInputs) -> None:
    *inputs, grad = make_inputs("moderate", (1, 20, 1), 16, 16)
    first, second = (differentiated(triton_fused, inputs, grad, 0.5) for _ in range(2))
    assert all(torch.equal(x, y) for x, y in zip(first, second, strict=True))


def test_strides_of_the_projections_are_read_in_place(make_inputs: MakeInputs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Heads and q, k, v are slices of one tensor, as in ViG; a copy would show as a larger kernel argument."""
    q, k, v, g_fwd, g_bwd, grad = make_inputs("as trained", (2, 40, 2), 16, 32)
    joined = torch.cat([x.flatten(2) for x in (q, k, v, g_fwd, g_bwd)], -1)
    parts = joined.split([32, 32, 64, 32, 32], -1)
    strided = [x.unflatten(-1, (2, -1)) for x in parts]
    assert not any(x.is_contiguous() for x in strided)
    seen: list[int] = []
    start = kernel_launch.launch_kernel

    def watched(kernel: object, grid: object, device: object, args: tuple[object, ...], *rest: object) -> None:
        seen.extend(each.data.data_ptr() for each in args[:3] if hasattr(each, "token"))
        start(kernel, grid, device, args, *rest)

    monkeypatch.setattr(kernel_launch, "launch_kernel", watched)
    found = triton_fused(*strided, 0.5)
    assert {x.data_ptr() for x in strided[:3]} <= set(seen)
    assert torch.equal(found, triton_fused(q, k, v, g_fwd, g_bwd, 0.5))
    assert_as_defined(triton_fused, strided, grad.transpose(1, 2).contiguous().transpose(1, 2))


@pytest.mark.parametrize("shift", [0.0, -400.0])
@pytest.mark.parametrize("dtype", ALLOWED)
def test_gates_from_logits(shift: float, dtype: torch.dtype, small_blocks: None, make_inputs: MakeInputs) -> None:
    q, k, v, x_fwd, x_bwd, grad = make_inputs("moderate", (1, 20, 2), 16, 16)
    inputs = [x.to(dtype) for x in (q, k, v, 4 * x_fwd + shift, 4 * x_bwd + shift)]

    def by_definition(q: Tensor, k: Tensor, v: Tensor, x: Tensor, y: Tensor, scale: float, normalizer: float) -> Tensor:
        return reference(q, k, v, F.logsigmoid(x) / normalizer, F.logsigmoid(y) / normalizer, scale)

    expected = differentiated(by_definition, [x.double() for x in inputs], grad.to(dtype).double(), 0.5, 16.0)
    found = differentiated(torch.ops.vigbench.gla_triton_fused_logits, inputs, grad.to(dtype), 0.5, 16.0)
    for x, y in zip(found, expected, strict=True):
        assert (x.double() - y).abs().max() <= max(ALLOWED[dtype] * y.abs().max(), SMALLEST_HALF)


@pytest.mark.parametrize(("shift", "dtype"), [(0.0, torch.float32), (0.0, torch.float16), (-400.0, torch.float32)])
def test_gates_from_low_rank_activations(
    shift: float, dtype: torch.dtype, small_blocks: None, make_inputs: MakeInputs
) -> None:
    q, k, v, _, _, grad = make_inputs("moderate", (1, 20, 2), 16, 16)
    torch.manual_seed(0)
    a, weight, bias = torch.randn(1, 20, 12), torch.randn(2, 2, 16, 12) / 4, torch.randn(2, 2, 16) + shift
    inputs = [x.to(dtype) for x in (q, k, v, a, weight, bias)]

    def by_definition(
        q: Tensor, k: Tensor, v: Tensor, a: Tensor, weight: Tensor, bias: Tensor, scale: float, normalizer: float
    ) -> Tensor:
        logits = torch.einsum("blr,dhkr->dblhk", a, weight) + bias[:, None, None]
        return reference(q, k, v, *(F.logsigmoid(logits) / normalizer).unbind(0), scale)

    expected = differentiated(by_definition, [x.double() for x in inputs], grad.to(dtype).double(), 0.5, 16.0)
    found = differentiated(torch.ops.vigbench.gla_triton_fused_low_rank, inputs, grad.to(dtype), 0.5, 16.0)
    for x, y in zip(found, expected, strict=True):
        assert (x.double() - y).abs().max() <= max(2 * ALLOWED[dtype] * y.abs().max(), SMALLEST_HALF)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_gates_from_low_rank_activations_in_one_direction(
    reverse: bool, dtype: torch.dtype, make_inputs: MakeInputs
) -> None:
    q, k, v, _, _, grad = make_inputs("moderate", (1, 37, 2), 16, 16)
    torch.manual_seed(0)
    a, weight, bias = torch.randn(1, 37, 12), torch.randn(1, 2, 16, 12) / 4, torch.randn(1, 2, 16)
    inputs = [x.to(dtype) for x in (q, k, v, a, weight, bias)]

    def by_definition(
        q: Tensor,
        k: Tensor,
        v: Tensor,
        a: Tensor,
        weight: Tensor,
        bias: Tensor,
        scale: float,
        normalizer: float,
        reverse: bool,
    ) -> Tensor:
        g = F.logsigmoid(torch.einsum("blr,hkr->blhk", a, weight[0]) + bias[0]) / normalizer
        return reference(q, k, v, None if reverse else g, g if reverse else None, scale)

    numbers = (0.5, 16.0, reverse)
    expected = differentiated(by_definition, [x.double() for x in inputs], grad.to(dtype).double(), *numbers)
    found = differentiated(torch.ops.vigbench.gla_triton_fused_low_rank, inputs, grad.to(dtype), *numbers)
    for x, y in zip(found, expected, strict=True):
        assert (x.double() - y).abs().max() <= max(2 * ALLOWED[dtype] * y.abs().max(), SMALLEST_HALF)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # opcheck reads it itself
@pytest.mark.parametrize("reverse", [False, True])
def test_opcheck_of_low_rank_gates(reverse: bool, make_inputs: MakeInputs) -> None:
    q, k, v = make_inputs("as trained", (1, 5, 1), 2, 3)[:3]
    inputs = [
        x.requires_grad_() for x in (q, k, v, torch.randn(1, 5, 4), torch.randn(1, 1, 2, 4), torch.randn(1, 1, 2))
    ]
    torch.library.opcheck(torch.ops.vigbench.gla_triton_fused_low_rank, (*inputs, 0.5, 16.0, reverse))


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # opcheck reads it itself
@pytest.mark.parametrize("name", ["gla_triton_fused", "gla_triton_unfused"])
def test_opcheck(name: str, make_inputs: MakeInputs) -> None:
    q, k, v, g_fwd, g_bwd = [x.requires_grad_() for x in make_inputs("as trained", (1, 5, 1), 2, 3)[:5]]
    torch.library.opcheck(getattr(torch.ops.vigbench, name), (q, k, v, g_fwd, g_bwd, 0.5))


def test_no_images() -> None:
    q, v = torch.zeros(0, 5, 2, 16), torch.zeros(0, 5, 2, 32)
    inputs: list[Tensor | None] = [q, q, v, q, q]
    assert differentiated(triton_fused, inputs, v, 0.5)[0].shape == v.shape
    assert differentiated(triton_unfused, inputs, v, 0.5)[0].shape == v.shape


def test_heads_of_one_channel_are_refused() -> None:
    x = torch.zeros(1, 5, 2, 1)
    with pytest.raises(ValueError, match="2 channels or more"):
        triton_fused(x, x, x, x, x, 0.5)


def test_float64_is_refused() -> None:
    x = torch.zeros(1, 5, 2, 16, dtype=torch.float64)
    with pytest.raises(ValueError, match="sum in float32"):
        triton_fused(x, x, x, x, x, 0.5)


@pytest.mark.parametrize("pass_", ["forward", "backward"])
def test_what_is_tuned_is_what_is_defined(pass_: str) -> None:
    trial = Trial(Workload("float32", 2, 16, 16, 40, 1, pass_), torch.device("cpu"))  # type: ignore[arg-type]
    for found, expected in zip(trial.run(trial.short, SMALL), trial.expected, strict=True):
        assert (found - expected).abs().max() <= 2e-6 * expected.abs().max()


@triton.jit
def rounded(x):  # type: ignore[no-untyped-def]
    """float32 rounded to the nearest bfloat16, ties to even: the interpreter's own cast cuts digits off."""
    bits = x.to(tl.int32, bitcast=True)
    bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & -0x10000
    return bits.to(tl.float32, bitcast=True)


@triton.jit
def dot_of_bfloat16(a, b, dtype: tl.constexpr):  # type: ignore[no-untyped-def]
    """What tensor cores do with bfloat16, which the interpreter cannot multiply."""
    return tl.dot(rounded(a.to(tl.float32)), rounded(b.to(tl.float32)), input_precision="ieee")


def test_operands_are_rounded_as_bfloat16_is() -> None:
    x, eye = torch.randn(16, 16, generator=torch.Generator().manual_seed(0)), torch.eye(16)
    out = torch.zeros(16, 16)
    multiply[(1,)](x, eye, out)
    assert torch.equal(out, x.bfloat16().float())


@triton.jit
def multiply(x, y, out):  # type: ignore[no-untyped-def]
    at = tl.arange(0, 16)[:, None] * 16 + tl.arange(0, 16)[None, :]
    tl.store(out + at, dot_of_bfloat16(tl.load(x + at), tl.load(y + at), tl.float32))


@pytest.mark.parametrize(
    "regime_", ["as initialised", "as trained", "none", "moderate", "edge of mild", "rare huge steps", "hard mixture"]
)
def test_products_of_bfloat16(regime_: str, make_inputs: MakeInputs, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the wide range of decays that bfloat16 computes by products, in the chunks that it uses on a GPU."""
    for module in (state, outputs, key_gradients, walk):
        monkeypatch.setattr(module, "dot", dot_of_bfloat16)
    monkeypatch.setitem(launch.MILD, torch.float32, launch.MILD[torch.bfloat16])
    chosen = kernel_settings.default_settings
    monkeypatch.setattr(kernel_settings, "default_settings", lambda c, _, *rest: chosen(c, torch.bfloat16, *rest))
    *inputs, grad = [x.bfloat16().float() for x in make_inputs(regime_, (1, 70, 1), 32, 16)]
    monkeypatch.setitem(ALLOWED, torch.float32, 1e-2)
    assert_as_defined(triton_fused, inputs, grad)
