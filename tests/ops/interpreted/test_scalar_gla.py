"""Scalar decay's Triton kernels on the CPU, in Triton's interpreter: run by test_interpreted.py."""

import os

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

if os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip("needs TRITON_INTERPRET=1 before Triton is imported", allow_module_level=True)

from tests.ops.anywhere import allow_anywhere
from tests.ops.scalar_gla.inputs import REGIMES, differentiated, doubled, golden, sample, ssd_sample, worst_error
from vigbench.ops import kernel_launch
from vigbench.ops.scalar_gla import retention, triton_fused
from vigbench.ops.scalar_gla.kernels.decays import ScalarGate
from vigbench.ops.scalar_gla.kernels.settings import ScalarSettings
from vigbench.ops.scalar_gla.reference import reference
from vigbench.ops.scalar_gla.triton_fused import triton_fused as fused

ALLOWED = {torch.float32: 2e-6, torch.float16: 2e-3}
SMALL = ScalarSettings(16, 16, 16, 4, 1, 4, 1)  # several blocks in the smallest tensors


@pytest.fixture(autouse=True)
def poisoned_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory that a kernel leaves unwritten is NaN."""
    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *args, **kwargs: empty(*args, **kwargs).fill_(torch.nan))


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_fused, "default_settings", lambda *_: SMALL)


def assert_as_defined(inputs: list[Tensor | None], grad: Tensor, allowed: float | None = None) -> None:
    found = differentiated(fused, inputs, grad, 0.5)
    expected = differentiated(reference, doubled(inputs), grad.double(), 0.5)
    assert all(x.dtype == grad.dtype for x in found)
    assert worst_error(found, expected) <= (allowed or ALLOWED[grad.dtype])


@pytest.mark.parametrize("dtype", ALLOWED)
@pytest.mark.parametrize("length", [1, 15, 16, 17, 50])
def test_lengths(length: int, dtype: torch.dtype, small_blocks: None) -> None:
    *inputs, grad = [x.to(dtype) for x in sample("moderate", (1, length, 2), 16, 16)]
    assert_as_defined(inputs, grad)


@pytest.mark.parametrize("dtype", ALLOWED)
@pytest.mark.parametrize("regime", REGIMES)
def test_every_decay_regime(regime: str, dtype: torch.dtype, small_blocks: None) -> None:
    *inputs, grad = [x.to(dtype) for x in sample(regime, (1, 37, 1), 16, 16)]
    assert_as_defined(inputs, grad)


@pytest.mark.parametrize("dims", [(40, 24), (2, 3), (64, 80)])
@pytest.mark.parametrize("dtype", ALLOWED)
def test_blocks_of_keys_and_values(dims: tuple[int, int], dtype: torch.dtype) -> None:
    """With the settings of a GPU."""
    *inputs, grad = [x.to(dtype) for x in sample("as initialised", (1, 35, 1), *dims)]
    assert_as_defined(inputs, grad)


@pytest.mark.parametrize("regime", ["moderate", "hard mixture"])
def test_one_direction(regime: str, small_blocks: None) -> None:
    q, k, v, g_fwd, g_bwd, grad = sample(regime, (2, 20, 1), 16, 16)
    assert_as_defined([q, k, v, g_fwd, None], grad)
    assert_as_defined([q, k, v, None, g_bwd], grad)


@pytest.mark.parametrize("groups", [1, 2])
def test_heads_of_a_group_share_queries_and_keys(groups: int, small_blocks: None) -> None:
    *inputs, grad = sample("hard mixture", (1, 20, 4), 16, 20, groups)
    assert_as_defined(inputs, grad)


@pytest.mark.parametrize("prefix", ["mild_", "strong_"])
def test_golden_of_ssd(prefix: str) -> None:
    given_ = {name: x[:1, :67] if x.ndim > 1 else x for name, x in golden("ssd", prefix, torch.float32).items()}
    inputs = [given_[name] for name in ("x", "dt", "a", "b", "c", "d")]
    for reverse in (False, True):
        ssd, exact = (getattr(torch.ops.vigbench, f"scalar_gla_{name}_ssd") for name in ("triton_fused", "reference"))
        found = differentiated(ssd, inputs, given_["do"], reverse)
        expected = differentiated(exact, doubled(inputs), given_["do"].double(), reverse)
        assert worst_error(found, expected) <= 2e-6


def test_ssd_in_half_precision() -> None:
    *inputs, grad = [x.half() for x in ssd_sample(40, 4, 2)]
    ssd, exact = (getattr(torch.ops.vigbench, f"scalar_gla_{name}_ssd") for name in ("triton_fused", "reference"))
    found = differentiated(ssd, inputs, grad, False)
    expected = differentiated(exact, doubled(inputs), grad.double(), False)
    assert worst_error(found, expected) <= 2.5 * ALLOWED[torch.float16]


def test_decays_are_read_where_they_are(monkeypatch: pytest.MonkeyPatch, small_blocks: None) -> None:
    """Those of one direction are slices of a larger tensor, those of the other one a head's for all tokens."""
    q, k, v, g_fwd, g_bwd, grad = sample("moderate", (2, 20, 3), 16, 16)
    gates = [torch.stack((g_bwd, g_fwd), -1)[..., 1], g_bwd[0, 0].expand_as(g_bwd)]
    seen: list[tuple[int, int]] = []
    start = kernel_launch.launch_kernel

    def watched(kernel: object, grid: object, device: object, args: tuple[object, ...], *rest: object) -> None:
        seen.extend((x.data.data_ptr(), x.token) for x in args if isinstance(x, ScalarGate))
        start(kernel, grid, device, args, *rest)

    monkeypatch.setattr(kernel_launch, "launch_kernel", watched)
    assert_as_defined([q, k, v, *gates], grad)
    assert set(seen) == {(gates[0].data_ptr(), 6 * 4), (gates[1].data_ptr(), 0)}


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
    q, k, v, grad = (torch.randn(batch, length, heads, dim) for dim in (key_dim, key_dim, value_dim, value_dim))
    gates = [F.logsigmoid(spread * torch.randn(batch, length, heads) + shift) for _ in range(2)]
    assert_as_defined([q, k, v, *gates], grad)


def test_the_same_bits_again_and_any_strides(small_blocks: None) -> None:
    *inputs, grad = sample("moderate", (2, 20, 2), 16, 32)
    first, second = (differentiated(fused, inputs, grad, 0.5) for _ in range(2))
    assert all(torch.equal(x, y) for x, y in zip(first, second, strict=True))
    turned = [x.transpose(0, 1).contiguous().transpose(0, 1) for x in inputs]
    strided = differentiated(fused, turned, grad.transpose(1, 2).contiguous().transpose(1, 2), 0.5)
    assert all(torch.equal(x, y) for x, y in zip(first, strided, strict=True))


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # opcheck reads it itself
def test_opcheck() -> None:
    inputs = [x.requires_grad_() for x in sample("moderate", (1, 5, 2), 2, 3, 1)[:5]]
    torch.library.opcheck(fused, (*inputs, 0.5))
    others = [x.requires_grad_() for x in ssd_sample(5, 2, 1)[:6]]
    torch.library.opcheck(torch.ops.vigbench.scalar_gla_triton_fused_ssd, (*others, False))


def test_no_images() -> None:
    q, v, g = torch.zeros(0, 5, 2, 16), torch.zeros(0, 5, 2, 32), torch.zeros(0, 5, 2)
    for gates in ((g, g), (g[:, :1].expand_as(g), None)):
        found = differentiated(fused, [q, q, v, *gates], v, 0.5)
        assert [x.shape for x in found[:4]] == [v.shape, q.shape, q.shape, v.shape]
        assert all(x.shape == g.shape for x in found[4:])


def test_float64_and_heads_of_one_channel_are_refused() -> None:
    x, g = torch.zeros(1, 5, 2, 16, dtype=torch.float64), torch.zeros(1, 5, 2)
    with pytest.raises(ValueError, match=r"sum in float32: .* use torch_chunk"):
        fused(x, x, x, g, g, 0.5)
    x = torch.zeros(1, 5, 2, 1)
    with pytest.raises(ValueError, match="2 channels or more"):
        fused(x, x, x, g, g, 0.5)


def test_torch_compile_takes_it_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    allow_anywhere(monkeypatch, "scalar_gla", "triton_fused")
    q, k, v, _, _, grad = sample("moderate", (1, 9, 2), 4, 6)

    def run(*xs: Tensor) -> Tensor:
        return retention(*xs, implementation="triton_fused")

    compiled = torch.compile(run, fullgraph=True, backend="aot_eager")
    expected = differentiated(lambda *xs: retention(*xs, implementation="reference"), doubled([q, k, v]), grad.double())
    assert worst_error(differentiated(compiled, [q, k, v], grad), expected) <= 2e-6
