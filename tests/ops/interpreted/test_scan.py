"""The selective scan's Triton kernels on the CPU, in Triton's interpreter: run by test_interpreted.py."""

import os

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

if os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip("needs TRITON_INTERPRET=1 before Triton is imported", allow_module_level=True)

from tests.ops.anywhere import allow_anywhere
from tests.ops.scan.samples import NAMES, REGIMES, Sizes, errors, sample
from vigbench.models.vim import BidirectionalMamba
from vigbench.ops.scan import bidirectional_selective_scan
from vigbench.ops.scan.cut import Cut
from vigbench.ops.scan.kernels import launch
from vigbench.ops.scan.kernels.launch import ScanSettings
from vigbench.ops.scan.operator import ScanArguments
from vigbench.ops.scan.reference import _backward, _forward
from vigbench.subjects.catalog import fill_weights

SMALL = ScanSettings(elements=64, dim_block=4, blocks=2)
SMALL_FORWARD = SMALL._replace(blocks=1)
ALLOWED = {torch.float32: 2e-6, torch.float16: 2e-3}


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory that a kernel leaves unwritten is NaN."""
    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *args, **kwargs: empty(*args, **kwargs).fill_(torch.nan))


def compare(
    inputs: list[Tensor | None],
    softplus: bool,
    reverse: bool,
    setting: ScanSettings,
    dtype: torch.dtype,
    cut: Cut | None = None,
) -> dict[str, float]:
    tensors = [None if x is None else x.to(dtype) for x in inputs]
    u = tensors[0]
    assert u is not None
    grad = torch.randn(u.shape[1:], generator=torch.Generator().manual_seed(1)).to(dtype)
    given_ = ScanArguments(*tensors, 0.5, softplus, reverse)  # type: ignore[arg-type]
    found = [launch.forward(given_, cut, setting._replace(blocks=1)), *launch.backward(grad, given_, cut, setting)]
    assert all(x.dtype == dtype for x in found)
    exact = [*(None if x is None else x.double() for x in tensors), 0.5, softplus, reverse]
    expected = [_forward(*exact), *_backward(grad.double(), *exact)]  # type: ignore[arg-type]
    names = [name for name, x in zip(NAMES, (u, *tensors), strict=True) if x is not None]
    return errors(found, expected, names)


@pytest.mark.parametrize("length", [1, 3, 8, 19])
@pytest.mark.parametrize("dtype", ALLOWED)
@pytest.mark.usefixtures("poisoned")
def test_lengths(length: int, dtype: torch.dtype) -> None:
    found = compare(sample("no initial bias", Sizes(2, 2, length, 6, 4)), True, False, SMALL, dtype)
    assert max(found.values()) <= ALLOWED[dtype], found


@pytest.mark.parametrize("regime", REGIMES)
def test_regimes(regime: str) -> None:
    found = compare(sample(regime, Sizes(2, 1, 21, 5, 4)), True, False, SMALL, torch.float32)
    assert max(found.values()) <= 2e-6, found


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("optional", [False, True])
def test_one_direction(reverse: bool, optional: bool) -> None:
    inputs = sample("no initial bias", Sizes(1, 2, 19, 5, 3), optional=optional)
    assert inputs[1] is not None
    inputs[1] = inputs[1] if optional else inputs[1].abs()
    found = compare(inputs, optional, reverse, SMALL, torch.float32)
    assert max(found.values()) <= 2e-6, found


@pytest.mark.parametrize("segments", [1, 3])
@pytest.mark.parametrize("directions", [1, 2])
def test_segments_side_by_side(directions: int, segments: int) -> None:
    """Of 5 tokens, which are no whole chunks."""
    sizes = Sizes(directions, 2, 5 * segments * directions - 1, 6, 4)
    cut = Cut(directions, segments, 5)
    found = compare(sample("no initial bias", sizes), True, False, SMALL, torch.float32, cut=cut)
    assert max(found.values()) <= 2e-6, found


def test_default_settings_at_the_shape_of_vim() -> None:
    inputs = sample("as initialised", Sizes(2, 1, 70, 20, 16))
    found = compare(inputs, True, False, launch.BACKWARD, torch.float32)
    assert max(found.values()) <= 2e-6, found


SIZES = st.builds(Sizes, st.integers(1, 2), st.integers(1, 2), st.integers(1, 20), st.integers(2, 7), st.integers(2, 6))


@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=SIZES,
    setting=st.builds(ScanSettings, st.sampled_from([1, 64, 256]), st.sampled_from([4, 8]), st.integers(1, 3)),
    segments=st.integers(1, 4),
)
def test_any_shape_and_setting(sizes: Sizes, setting: ScanSettings, segments: int) -> None:
    half = -(-sizes.length // sizes.directions)
    cut = Cut(sizes.directions, segments, -(-half // segments))
    found = compare(sample("no initial bias", sizes), True, False, setting, torch.float32, cut)
    assert max(found.values()) <= 1e-4, (sizes, setting, found)  # as in scan/test_accuracy.py


def test_the_same_bits_again_and_any_strides() -> None:
    inputs = sample("no initial bias", Sizes(2, 1, 9, 4, 4))
    given_ = ScanArguments(*inputs, 0.5, True, False)  # type: ignore[arg-type]
    strided = [x if x is None or i in (2, 5, 7) else x.mT.contiguous().mT for i, x in enumerate(inputs)]
    again = ScanArguments(*strided, 0.5, True, False)  # type: ignore[arg-type]
    grad = torch.randn(1, 1, 4).expand(1, 9, 4)
    for other, d_out in ((given_, grad), (again, grad.contiguous())):
        assert torch.equal(
            launch.forward(given_, settings=SMALL_FORWARD),
            launch.forward(other, settings=SMALL_FORWARD),
        )
        first, second = (launch.backward(*each, settings=SMALL) for each in ((grad, given_), (d_out, other)))
        assert all(torch.equal(x, y) for x, y in zip(first, second, strict=True))


def test_double_precision_and_single_channels_are_refused() -> None:
    doubles = [x.double() for x in sample("no initial bias", Sizes(2, 1, 5, 4, 4)) if x is not None]
    with pytest.raises(ValueError, match=r"sum in float32: .* use torch_chunk"):
        launch.forward(ScanArguments(*doubles, 0.5, True, False))
    single = sample("no initial bias", Sizes(2, 1, 5, 1, 4))
    with pytest.raises(ValueError, match="2 channels or more"):
        launch.forward(ScanArguments(*single, 0.5, True, False))  # type: ignore[arg-type]


@pytest.fixture
def mixer(monkeypatch: pytest.MonkeyPatch) -> BidirectionalMamba:
    """Vim's mixer, whose Triton implementation may run where the interpreter is."""
    allow_anywhere(monkeypatch, "scan", "triton_fused")
    mixer = BidirectionalMamba(16)
    fill_weights(mixer, 0)
    return mixer


def test_a_mixer_computes_the_same_with_fused_kernels(mixer: BidirectionalMamba) -> None:
    x = torch.randn(1, 9, 16)
    outputs, gradients = [], []
    for name in ("triton_fused", "reference"):
        mixer.implementation = name
        mixer.zero_grad()
        outputs.append(mixer(x))
        outputs[-1].square().mean().backward()
        gradients.append([p.grad.clone() for p in mixer.parameters() if p.grad is not None])
    torch.testing.assert_close(*outputs, rtol=1e-5, atol=1e-6)
    assert len(gradients[0]) == len(list(mixer.parameters()))
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-7)


def test_torch_compile_takes_a_mixer_whole(mixer: BidirectionalMamba) -> None:
    mixer.implementation = "triton_fused"
    x = torch.randn(1, 9, 16)
    compiled = torch.compile(mixer, fullgraph=True, backend="aot_eager")
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), mixer(x))
    compiled(x).square().mean().backward()
    assert all(p.grad is not None and p.grad.any() for p in mixer.parameters())


def test_the_operator_dispatches_to_the_kernels(mixer: BidirectionalMamba) -> None:
    inputs = sample("no initial bias", Sizes(2, 1, 9, 4, 4))
    found = bidirectional_selective_scan(*inputs, True, "triton_fused")  # type: ignore[arg-type]
    torch.testing.assert_close(found, bidirectional_selective_scan(*inputs, True, "reference"))  # type: ignore[arg-type]
