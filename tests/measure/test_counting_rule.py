"""Formulas of torch's operators, against what the same work costs in operators that torch itself counts."""

from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import flop_registry

from vigbench.measure.cost import count_cost
from vigbench.measure.counting_rule import FORMULAS, formula_of
from vigbench.measure.profile.counting import CountedCalls

SIZES = st.integers(1, 9)
FUSED = "aten::_scaled_dot_product_flash_attention_for_cpu"


def flops_of(run: Callable[..., Any], *inputs: Tensor) -> dict[str, int]:
    """FLOPs by operator; every operator that ran has to be known."""
    with CountedCalls() as counter:
        run(*inputs)
    assert all(call.known for call in counter.calls), [call.name for call in counter.calls if not call.known]
    flops: dict[str, int] = {}
    for call in counter.calls:
        flops[call.name] = flops.get(call.name, 0) + call.flops
    return {name: count for name, count in flops.items() if count}


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


def test_a_product_of_a_vector_counts_in_a_model_too() -> None:
    class Scores(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weights = nn.Parameter(torch.randn(8))

        def forward(self, x: Tensor) -> Tensor:
            return x @ self.weights

    cost = count_cost(Scores(), (2, 3, 8, 8))
    assert (cost.macs, cost.uncounted) == (2 * 3 * 8 * 8, {})


def test_a_product_without_a_formula_is_not_known() -> None:
    layer = nn.Bilinear(8, 8, 3)
    with CountedCalls() as counter:
        layer(torch.randn(2, 8), torch.randn(2, 8))
    assert [call.name for call in counter.calls if not call.known] == ["aten::_trilinear"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["test_vit", "swin_tiny_patch4_window7_224", "mobilenetv3_small_050", "vig_tiny_patch16_224"]
)
def test_a_training_step_of_a_model_has_nothing_unknown(name: str) -> None:
    model = timm.create_model(name).train()
    side = {"test_vit": 160, "swin_tiny_patch4_window7_224": 224}.get(name, 64)
    images, labels = torch.randn(2, 3, side, side), torch.zeros(2, dtype=torch.long)
    flops = flops_of(lambda x: F.cross_entropy(model(x), labels).backward(), images)
    assert sum(flops.values()) > 0
