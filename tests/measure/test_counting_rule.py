"""Which operators the rule knows, in models and by themselves."""

from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.measure.counted import flops_of, unknown_in
from vigbench.measure.cost import count_cost
from vigbench.measure.counting_rule import FORMULAS, formula_of


def test_a_product_of_a_vector_counts_in_a_model_too() -> None:
    class Scores(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weights = nn.Parameter(torch.randn(8))

        def forward(self, x: Tensor) -> Tensor:
            return x @ self.weights

    cost = count_cost(Scores(), (2, 3, 8, 8))
    assert (cost.macs, cost.uncounted) == (2 * 3 * 8 * 8, {})


@pytest.mark.parametrize(
    ("run", "names"),
    [
        (torch.fft.fft2, ["aten::_fft_c2c"]),
        (torch.linalg.inv, ["aten::linalg_inv_ex"]),
        (torch.linalg.qr, ["aten::linalg_qr"]),
        (torch.matrix_exp, ["aten::linalg_matrix_exp"]),
    ],
    ids=["fourier", "inverse", "decomposition", "exponential"],
)
def test_a_product_without_a_formula_is_not_known(run: Any, names: list[str]) -> None:
    assert unknown_in(run, torch.randn(4, 4)) == names


def test_a_library_s_operator_is_counted_as_soon_as_it_is_there() -> None:
    assert not any("flash_attn" in str(packet) for packet in FORMULAS)
    library = torch.library.Library("flash_attn", "FRAGMENT")
    library.define("_flash_attn_forward(Tensor q, Tensor k, Tensor v) -> Tensor")
    library.impl("_flash_attn_forward", lambda q, k, v: torch.empty_like(q), "CompositeExplicitAutograd")
    try:
        packet = torch.ops.flash_attn._flash_attn_forward
        assert packet in dict(FORMULAS)
        q, k = torch.randn(2, 5, 3, 8), torch.randn(2, 7, 3, 8)  # batch, length, heads, dim
        counted = flops_of(packet, q, k, k)
        plain = flops_of(lambda: torch.einsum("bqhk,bkhd->bqhd", torch.einsum("bqhd,bkhd->bqhk", q, k), k))
        assert counted == {"flash_attn::_flash_attn_forward": sum(plain.values())}
    finally:
        library._destroy()


def test_a_formula_of_another_operator_is_none() -> None:
    assert formula_of(torch.ops.aten.relu) is None
    assert formula_of("aten.there_is_none") is None


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
