"""The sentences follow from the numbers, whatever the model is called."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigbench.measure.ceilings import Ceilings
from vigbench.measure.profile.costs import OperatorCost
from vigbench.measure.profile.times import DISPATCH, OUTSIDE_OPERATORS
from vigbench.measure.profile.words import kind_of, largest_costs

CEILINGS = Ceilings(copy_gb_per_s=100.0, product_tflop_per_s={"float32": 1.0, "bfloat16": 4.0})


def cost(operator: str = "aten::mm", **changes: object) -> OperatorCost:
    """One second of 10 calls; 1e12 FLOPs and 1e11 bytes are the ceilings."""
    given = {"group": "blocks.*.mlp", "backward": False, "calls": 10.0, "seconds": 1.0, "share": 0.41}
    return OperatorCost(operator=operator, **(given | changes))  # type: ignore[arg-type]


def sentence(one: OperatorCost, precision: str = "float32", on_cuda: bool = False) -> str:
    (said,) = largest_costs([one], CEILINGS, precision, on_cuda=on_cuda)
    return said


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (cost(flops=78 * 10**10), "at 78% of this device's float32 matrix rate: bounded by arithmetic."),
        (cost(flops=105 * 10**10), "at 105% of this device's float32 matrix rate: bounded by arithmetic."),
        (
            cost(flops=180 * 10**10),
            "at 180% of this device's float32 matrix rate: it executes fewer multiply-adds than",
        ),
        (cost("aten::copy_", moved=6 * 10**10), "at 60% of a copy's bandwidth: bounded by memory."),
        (cost("aten::add", moved=13 * 10**10), "more than memory gives, so that its data come from caches."),
        (cost("aten::gelu", moved=10**10), "at 10% of a copy's bandwidth: far from it."),
        (cost("aten::gelu", moved=4 * 10**10), "at 40% of a copy's bandwidth: short of it."),
        (
            cost(flops=10**11, moved=10**9),
            "at 10% of this device's float32 matrix rate and 1% of a copy's bandwidth: far",
        ),
        (cost("aten::add_", counted=False), "which ran otherwise when FLOPs and bytes were counted"),
        (
            cost("aten::cdist", moved=10**10, known=False),
            "far from it; no formula gives its multiply-adds, which count",
        ),
        (cost("aten::t"), "which computes and moves nothing: all of it is the overhead of calls."),
        (cost("aten::mul", moved=10**9, calls=1e5), "since a call takes 10 us, hardly more than its start."),
        (cost(backward=True, flops=10**12), "(aten::mm in blocks.*.mlp, backward, 10 calls)"),
        (cost(group="", flops=10**12, calls=1.0), "(aten::mm in the model itself, 1 call)"),
        (cost("my_lib::frobnicate", moved=10**11), "goes to my_lib::frobnicate (in blocks.*.mlp, 10 calls)"),
        (cost(OUTSIDE_OPERATORS, group_share=0.9), "passes outside operators: in Python between them and in what"),
        (cost(OUTSIDE_OPERATORS, group_share=0.9), "; 90% of it in blocks.*.mlp."),
        (cost(DISPATCH, group_share=0.2), "on the way to the operators that they call."),
    ],
)
def test_a_sentence_says_what_bounds_a_cost(one: OperatorCost, expected: str) -> None:
    said = sentence(one)
    assert said.startswith("41% of the time ")
    assert expected in said


def test_what_is_inside_an_operator_explains_it() -> None:
    inside = (("aten::bmm", 0.5), ("aten::copy_", 0.2), ("aten::exp", 0.01))
    said = sentence(cost("vigbench::gla_torch_chunk", flops=10**10, moved=10**9, calls_inside=1e5, inside=inside))
    assert (
        "inside it are 100,000 operator calls, one every 10 us: 50% aten::bmm, 29% between them, 20% aten::copy_."
        in said
    )


def test_the_ceiling_is_that_of_the_precision_and_time_that_of_kernels() -> None:
    said = sentence(cost(flops=3 * 10**12), "bfloat16", on_cuda=True)
    assert said.startswith("41% of the kernel time ")
    assert "at 75% of this device's bfloat16 matrix rate: bounded by arithmetic." in said


def test_what_no_operator_launched_is_kernels_on_a_gpu() -> None:
    said = sentence(cost(OUTSIDE_OPERATORS, group="head"), on_cuda=True)
    assert said == "41% of the kernel time goes to kernels that no operator launched; 100% of it in head."


@pytest.mark.parametrize(
    ("operator", "kind"),
    [
        ("aten::addmm", "matrix products"),
        ("aten::convolution_backward", "convolutions"),
        ("aten::_scaled_dot_product_flash_attention_for_cpu", "softmax attention"),
        ("vigbench::gla_torch_chunk_backward", "gated linear attention"),
        ("vigbench::scan_torch_chunk", "selective scans"),
        ("aten::native_layer_norm", "norms"),
        ("aten::copy_", "copying of data"),
        ("aten::mul_", "elementwise arithmetic"),
        ("aten::_softmax", "softmax"),
        ("aten::max_pool2d_with_indices", "pooling and resampling"),
        ("aten::expand", "aten::expand"),
        ("aten::exp_", "elementwise functions"),
        ("aten::_to_copy", "copying of data"),
        ("other::thing", "other::thing"),
    ],
)
def test_operators_have_the_names_that_people_use(operator: str, kind: str) -> None:
    assert kind_of(operator) == kind


@given(st.text(), st.floats(0, 1), st.integers(0, 10**13), st.integers(0, 10**13), st.floats(1e-9, 1e3))
def test_no_number_breaks_a_sentence(group: str, share: float, flops: int, moved: int, seconds: float) -> None:
    said = sentence(cost(group=group, share=share, flops=flops, moved=moved, seconds=seconds))
    assert said.endswith(".")
    assert "e+" not in said.replace(group, "")
