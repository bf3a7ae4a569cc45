"""DiG by Triton's kernels, in Triton's interpreter: run by test_interpreted.py, in a process of its own."""

import os

import pytest
import torch
from torch import Tensor

if os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip("needs TRITON_INTERPRET=1 before Triton is imported", allow_module_level=True)

from tests.ops.anywhere import allow_anywhere
from vigbench.subjects.catalog import create_model, fill_weights


def evaluated(implementation: str, scan_order: str) -> list[Tensor]:
    """The output and all gradients of four blocks on a grid that is not square."""
    model = create_model(
        "dig_small_patch2",
        implementation=implementation,
        scan_order=scan_order,
        depth=4,
        embed_dim=64,
        num_heads=1,
        num_classes=10,
        img_size=(64, 96),
    ).eval()
    fill_weights(model, 0)
    torch.manual_seed(0)
    x = torch.randn(2, 4, 8, 12, requires_grad=True)
    out = model(x, torch.tensor([3, 900]), torch.tensor([0, 7]))
    out.square().sum().backward()
    parameters = [p.grad for p in model.parameters() if p.grad is not None]
    assert x.grad is not None
    return [out.detach(), x.grad, *parameters]


@pytest.mark.parametrize("scan_order", ["released", "raster"])
@pytest.mark.parametrize("implementation", ["triton_fused", "triton_unfused"])
def test_output_and_gradients_are_those_of_plain_pytorch(
    implementation: str, scan_order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Backward directions too: in raster order every second block reads from the end."""
    allow_anywhere(monkeypatch, "gla", implementation)
    expected = evaluated("torch_chunk", "released")
    for found, exact in zip(evaluated(implementation, scan_order), expected, strict=True):
        assert (found - exact).norm() <= 1e-4 * exact.norm() + 1e-6
