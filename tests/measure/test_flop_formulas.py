"""Formulas of torch's operators, against what the same work costs in operators that torch itself counts."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import flop_registry

from tests.measure.counted import flops_of
from vigbench.measure.counting_rule import FORMULAS, formula_of

SIZES = st.integers(1, 9)
ABOVE_1 = st.integers(2, 9)  # einsum multiplies elementwise along a dimension of 1
FUSED = "aten::_scaled_dot_product_flash_attention_for_cpu"


def attended(backend: SDPBackend, train: bool) -> Callable[..., Any]:
    def run(q: Tensor, k: Tensor, v: Tensor) -> None:
        with sdpa_kernel(backend):
            out = F.scaled_dot_product_attention(q, k, v, enable_gqa=True)
        if train:
            out.sum().backward()

    return run


@given(SIZES, st.integers(2, 9), st.integers(2, 9), st.sampled_from([1, 2, 4]), st.sampled_from([8, 16]))
@settings(max_examples=15)
def test_attention_on_a_cpu_counts_as_its_two_products(
    batch: int, queries: int, keys: int, key_heads: int, dim: int
) -> None:
    q = torch.randn(batch, 4, queries, dim)
    k, v = (torch.randn(batch, key_heads, keys, dim) for _ in "kv")
    fused = flops_of(attended(SDPBackend.FLASH_ATTENTION, train=False), q, k, v)
    assert fused == {FUSED: sum(flops_of(attended(SDPBackend.MATH, train=False), q, k, v).values())}


def test_its_backward_counts_the_scores_once_more() -> None:
    q, k, v = (torch.randn(2, 3, length, 8, requires_grad=True) for length in (5, 7, 7))
    fused = flops_of(attended(SDPBackend.FLASH_ATTENTION, train=True), q, k, v)
    products = sum(flops_of(attended(SDPBackend.MATH, train=True), q, k, v).values())
    assert set(fused) == {FUSED, f"{FUSED}_backward"}
    assert sum(fused.values()) == products + fused[FUSED] // 2


@pytest.mark.parametrize("packet", [one for one in FORMULAS if one in flop_registry], ids=str)
def test_ours_are_torchs_where_torch_has_them(packet: Any) -> None:
    q, v = torch.empty(2, 3, 5, 8), torch.empty(2, 3, 7, 6)
    k = torch.empty(2, 3, 7, 8)
    if "convolution" in str(packet):  # without groups; with groups torch's counts too much
        x, w, out = torch.empty(2, 4, 9, 9), torch.empty(6, 4, 3, 3), torch.empty(2, 6, 7, 7)
        args = (out, x, w, None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1, [True, True, False])
        results: Any = (x, w, None)
    else:
        args, results = ((torch.empty(2, 3, 5, 6),) if "backward" in str(packet) else ()) + (q, k, v), None
    ours = formula_of(packet)
    assert ours is not None
    assert ours(*args, out_val=results) == flop_registry[packet](*args, out_val=results) > 0


@pytest.mark.parametrize(
    "layer",
    [
        nn.MultiheadAttention(32, 4, batch_first=True),
        nn.TransformerEncoderLayer(32, 4, 48, batch_first=True),
        nn.TransformerEncoderLayer(32, 4, 48, activation="gelu", batch_first=True),
    ],
    ids=["attention", "relu", "gelu"],
)
def test_a_layer_in_one_operator_counts_as_its_parts(layer: nn.Module) -> None:
    x = torch.randn(2, 5, 32)
    call = (lambda x: layer(x, x, x)) if isinstance(layer, nn.MultiheadAttention) else layer
    layer.eval()
    with torch.inference_mode():
        together = flops_of(call, x)
    (name,) = together
    assert name in ("aten::_native_multi_head_attention", "aten::_transformer_encoder_layer_fwd")
    layer.train()
    apart = flops_of(call, x)
    assert name not in apart
    assert sum(together.values()) == sum(apart.values())


def test_products_with_vectors_and_in_place_count_as_products_of_matrices() -> None:
    m, x, y = torch.randn(5, 7), torch.randn(7), torch.randn(5)
    expected = 2 * 5 * 7
    assert flops_of(torch.mv, m, x) == {"aten::mv": expected}
    assert flops_of(torch.addmv, y, m, x) == {"aten::addmv": expected}
    assert flops_of(torch.dot, x, x) == {"aten::dot": 2 * 7}
    product, batch = torch.randn(7, 3), torch.randn(4, 5, 3)
    assert flops_of(lambda out: out.addmm_(m, product), torch.randn(5, 3)) == {"aten::addmm_": 3 * expected}
    left, right = m.expand(4, 5, 7), product.expand(4, 7, 3)
    assert flops_of(lambda out: out.baddbmm_(left, right), batch) == {"aten::baddbmm_": 4 * 3 * expected}


@given(ABOVE_1, ABOVE_1, ABOVE_1, ABOVE_1)
@settings(max_examples=15)
def test_a_bilinear_layer_counts_as_its_two_products(batch: int, outputs: int, left: int, right: int) -> None:
    x, y = torch.randn(batch, left, requires_grad=True), torch.randn(batch, right)
    weight = torch.randn(outputs, left, right)

    def in_turn() -> None:
        torch.einsum("boj,bj->bo", torch.einsum("bi,oij->boj", x, weight), y)

    assert flops_of(F.bilinear, x, y, weight) == {"aten::_trilinear": sum(flops_of(in_turn).values())}
    gradient = flops_of(lambda: F.bilinear(x, y, weight).sum().backward())
    assert gradient == {"aten::_trilinear": 2 * batch * (2 * outputs * left * right + outputs * right + left * right)}


def test_sums_groups_and_lists_of_products_count_as_their_products() -> None:
    left, right, added = torch.randn(3, 4, 5), torch.randn(3, 5, 6), torch.randn(4, 6)
    one = 2 * 4 * 5 * 6
    assert flops_of(torch.addbmm, added, left, right) == {"aten::addbmm": 3 * one}
    assert flops_of(lambda: added.addbmm_(left, right)) == {"aten::addbmm_": 3 * one}
    rows, experts = left.flatten(0, 1), right  # the rows of each of three experts
    grouped = formula_of(torch.ops.aten._grouped_mm)
    assert grouped is not None
    assert grouped(rows, experts, out_val=None) == grouped(left, right, out_val=None) == 3 * one
    assert grouped(left, right[0], out_val=None) == one, "groups of columns, each with rows of its own"
    assert grouped(rows.T, rows, out_val=None) == flops_of(torch.mm, rows.T, rows)["aten::mm"], "groups of summands"


def test_euclidean_distances_count_as_the_product_that_they_are() -> None:
    x, y = (torch.randn(2, length, 5, requires_grad=True) for length in (30, 40))
    product = 2 * 2 * 30 * 40 * 5
    assert sum(flops_of(torch.cdist, x, y).values()) == product
    assert sum(flops_of(lambda: torch.cdist(x, y).sum().backward()).values()) == 3 * product
    few = x[:, :3], y[:, :4]  # too few for torch to multiply matrices
    assert sum(flops_of(torch.cdist, *few).values()) == 2 * 2 * 3 * 4 * 5
    assert flops_of(lambda: torch.cdist(x, y, p=1)) == {}, "no products: differences and sums"


@pytest.mark.parametrize("train", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize("directions", [1, 2])
def test_a_fused_recurrent_layer_counts_as_its_products(directions: int, train: bool) -> None:
    lstm = nn.LSTM(8, 6, 2, bidirectional=directions == 2, batch_first=True)

    def run(device: str) -> None:
        x = torch.randn(3, 5, 8, device=device, requires_grad=True)
        states = tuple(torch.randn(2 * directions, 3, 6, device=device, requires_grad=True) for _ in "hc")
        out = lstm.to(device)(x, states)[0]
        if train:
            out.sum().backward()

    fused, plain = flops_of(lambda: run("cpu")), flops_of(lambda: run("meta"))  # which has no fused one
    assert sum(fused.values()) == sum(plain.values())
    assert set(fused) == {"aten::mkldnn_rnn_layer", *(["aten::mkldnn_rnn_layer_backward"] if train else [])}
    cudnn = formula_of(torch.ops.aten._cudnn_rnn)
    assert cudnn is not None
    x = torch.empty(3, 5, 8)
    assert train or cudnn(x, list(lstm.parameters()), out_val=None) == sum(plain.values())


@pytest.mark.parametrize("groups", [1, 2])
def test_a_deformed_convolution_counts_as_the_straight_one(groups: int) -> None:
    x, offset = torch.randn(2, 4, 9, 9, requires_grad=True), torch.randn(2, 18, 7, 7)
    weight = torch.randn(6, 4 // groups, 3, 3, requires_grad=True)
    straight = flops_of(lambda: F.conv2d(x, weight, groups=groups).sum().backward())
    deformed = flops_of(lambda: torchvision.ops.deform_conv2d(x, offset, weight).sum().backward())
    assert set(deformed) == {"torchvision::deform_conv2d", "torchvision::_deform_conv2d_backward"}
    assert list(deformed.values()) == list(straight.values())


def test_a_convolution_over_time_counts_as_one_over_the_last_dimension() -> None:
    x, weight, bias = torch.randn(9, 2, 4), torch.randn(3, 4, 5), torch.randn(5)
    usual = flops_of(F.conv1d, x.permute(1, 2, 0), weight.permute(2, 1, 0))
    assert list(flops_of(torch.conv_tbc, x, weight, bias).values()) == list(usual.values())


def test_a_grid_is_a_product_and_resampling_is_free() -> None:
    images, transform = torch.randn(2, 3, 7, 7), torch.randn(2, 2, 3)
    counted = flops_of(
        lambda: F.grid_sample(images, F.affine_grid(transform, [2, 3, 5, 6], False), align_corners=False)
    )
    assert sum(counted.values()) == 2 * 2 * (5 * 6) * 2 * 3


def test_products_with_packed_weights_count_as_linear_layers() -> None:
    x, expected = torch.randn(4, 32).bfloat16(), 2 * 4 * 32 * 16
    weight, scales = torch.randint(-8, 8, (16, 32), dtype=torch.int8), torch.ones(16).bfloat16()
    counted = flops_of(torch.ops.aten._weight_int8pack_mm, x, weight, scales)
    assert counted == {"aten::_weight_int8pack_mm": expected}
    quantised = formula_of(torch.ops.quantized.linear_dynamic)
    assert quantised is not None
    assert quantised(x, object(), out_val=torch.empty(4, 16)) == expected
