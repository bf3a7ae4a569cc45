"""What PyTorch and users ask of the operator: shapes without data, compile, mixed precision, costs, clear errors."""

import importlib.util

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from tests.ops.dilated_convs.inputs import assert_close, computed, differentiated, grouped, sample
from vigbench.measure.counting_rule import FORMULAS
from vigbench.measure.operator_check import check_implementation
from vigbench.ops.cost import EXECUTED_FLOPS
from vigbench.ops.dilated_convs import dilated_convs
from vigbench.ops.dispatch import load_operator, selected_implementation
from vigbench.ops.registry import get_implementation, get_operator

SHAPE = (2, 3, 5, 6, 7)
MACS = 3 * 27 * 2 * 3 * 5 * 6 * 7
TRITON = pytest.param(
    "triton_fused", marks=pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs triton")
)
both = pytest.mark.parametrize("implementation", ["reference", TRITON])


@both
def test_shapes_without_data(implementation: str) -> None:
    for dtype in (torch.float32, torch.bfloat16):
        inputs = [one.to("meta", dtype) for one in sample(SHAPE)]
        out, *gradients = differentiated(inputs, implementation)
        assert (out.shape, out.dtype, out.device.type) == ((2, 9, 5, 6, 7), dtype, "meta")
        assert [one.shape for one in gradients] == [one.shape for one in inputs[:16]]
        assert computed(inputs, implementation).shape == out.shape  # and nothing is kept
    with FakeTensorMode(allow_non_fake_inputs=True):
        fake = [torch.empty(one.shape) for one in sample(SHAPE)]
        assert computed(fake).shape == (2, 9, 5, 6, 7)


@both
def test_multiply_adds(implementation: str) -> None:
    """81 a voxel; twice that backward; the formula of torch's convolutions counts the same."""
    load_operator("dilated_convs", implementation)  # a counter knows what is defined before it starts
    leaves = [one.to("meta").requires_grad_() for one in sample(SHAPE)[:16]]
    with FlopCounterMode(display=False, custom_mapping=dict(FORMULAS)) as counter:
        out = computed(leaves, implementation)
    assert counter.get_total_flops() == 2 * MACS
    with FlopCounterMode(display=False, custom_mapping=dict(FORMULAS)) as counter:
        torch.autograd.grad(out.sum(), leaves)
    assert counter.get_total_flops() == 2 * 2 * MACS


def test_executed_multiply_adds_have_the_planes_around_a_segment() -> None:
    pytest.importorskip("triton")
    load_operator("dilated_convs", "triton_fused")
    packet = torch.ops.vigbench.dilated_convs_triton_fused
    backward = torch.ops.vigbench.dilated_convs_triton_fused_backward
    for depth, segments in ((5, 2), (3, 1)):  # segments of 4 planes, since there are few volumes
        shape = (2, 3, depth, 6, 7)
        voxels = 2 * 3 * 6 * 7
        walk = 81 * voxels * (depth + 6 * segments)
        assert EXECUTED_FLOPS[packet](shape, out_shape=None) == 2 * walk
        assert EXECUTED_FLOPS[backward](None, None, None, shape, out_shape=None) == 2 * (walk + 81 * voxels * depth)


@pytest.mark.parametrize("name", ["auto", "reference"])
def test_compiles_without_graph_breaks(name: str) -> None:
    inputs = sample(SHAPE)

    def run(*given: Tensor) -> Tensor:
        return 2 * dilated_convs(given[0], *grouped(given[1:]), implementation=name)

    compiled = torch.compile(run, fullgraph=True, backend="aot_eager")
    leaves = [one.requires_grad_() for one in inputs[:16]]
    out = compiled(*leaves)
    found = [out.detach() / 2, *torch.autograd.grad(out / 2, leaves, inputs[16])]
    assert_close(found, differentiated(inputs), 1e-6)


def test_autocast_and_parameters_of_another_dtype() -> None:
    inputs = sample(SHAPE)[:16]
    expected = computed(inputs)
    with torch.autocast("cpu", torch.bfloat16):
        out = computed(inputs)
    assert out.dtype == torch.bfloat16
    assert (out - expected).abs().max() <= 3e-2 * expected.abs().max()
    mixed = computed([inputs[0].half(), *inputs[1:]])
    assert mixed.dtype == torch.float16
    assert (mixed - expected).abs().max() <= 1e-2 * expected.abs().max()


def test_auto_is_the_reference_where_triton_cannot() -> None:
    x = sample(SHAPE)[0]
    for one in (x, x.double(), x.to("meta")):
        assert selected_implementation("dilated_convs", "auto", one) == "reference"
    with pytest.raises(ValueError, match="runs on cuda, not on cpu"):
        computed(sample(SHAPE), "triton_fused")


def test_a_profile_has_to_show_the_kernels() -> None:
    operator = get_operator("dilated_convs")
    fused, reference = (operator.promise(name, "cuda") for name in ("triton_fused", "reference"))
    assert "vigbench::dilated_convs_triton_fused" in fused.must_run
    assert {"vigbench::dilated_convs_triton_fused", "vigbench::dilated_convs_triton_fused_backward"} <= set(
        reference.must_not_run
    )


@pytest.mark.parametrize("precision", ["float64", "float32", "bfloat16", "float16"])
def test_the_reference_passes_on_the_samples(precision: str) -> None:
    operator = get_operator("dilated_convs")
    reference = get_implementation("dilated_convs", "reference")
    finding = check_implementation(operator, reference, precision, torch.device("cpu"))
    assert finding.passed, finding
    assert finding.samples >= 8


def test_no_volumes() -> None:
    x, *rest = sample(SHAPE)
    assert computed([x[:0], *rest]).shape == (0, 9, 5, 6, 7)


def test_clear_errors() -> None:
    x, *parameters = sample(SHAPE)[:16]
    groups = [list(group) for group in grouped(parameters)]

    def expect(message: str, x: Tensor, changed: int | None = None, one: Tensor | None = None) -> None:
        given = [[*group[:2], one] if n == changed and one is not None else group for n, group in enumerate(groups)]
        with pytest.raises(ValueError, match=message):
            dilated_convs(x, *given)

    expect(r"x is \(3, 5, 6, 7\): pass \(batch, channels", x[0])
    expect("at least one of each", x[:, :, :0])
    expect("x is torch.int64", x.long())
    expect(r"one of weights is \(3, 1, 3, 3, 2\) .* pass \(3, 1, 3, 3, 3\)", x, 0, groups[0][0][..., :2])
    expect(r"one of slopes is \(3,\) .* pass \(1,\)", x, 4, groups[1][0])
    expect("a parameter is on meta but x is on cpu", x, 1, groups[1][0].to("meta"))
    with pytest.raises(ValueError, match="biases has 2 tensors: pass 3"):
        dilated_convs(x, groups[0], groups[1][:2], *groups[2:])
    with pytest.raises(ValueError, match="did you mean 'reference'"):
        computed([x, *parameters], "referenc")
