import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import vigbench.ops.gla.reference  # noqa: F401  a counter knows only what is defined before it starts
from vigbench.ops.cost import EXECUTED_FLOPS
from vigbench.ops.gla import bidirectional_gla, gla
from vigbench.ops.gla.chunks import chunk_size
from vigbench.ops.gla.cost import chunk_products, chunk_products_backward
from vigbench.ops.gla.torch_chunk import _backward, _forward

B, L, H, K, V = 2, 200, 3, 16, 8
IN_PLACE = {  # torch counts it out of place only
    torch.ops.aten.baddbmm_: lambda _, x, y, **__: 2 * x[0] * x[1] * x[2] * y[2]
}


def inputs(device: str, directions: int = 2, requires_grad: bool = False) -> list[torch.Tensor]:
    dims = (K, K, V, *[K] * directions)
    tensors = [torch.randn(B, L, H, dim, device=device) for dim in dims]
    return [(-x.abs() / 16 if i > 2 else x).requires_grad_(requires_grad) for i, x in enumerate(tensors)]


@pytest.mark.parametrize("implementation", ["reference", "torch_chunk"])
@pytest.mark.parametrize("directions", [1, 2])
def test_algorithmic_count_is_the_same_for_all(implementation: str, directions: int) -> None:
    operator = bidirectional_gla if directions == 2 else gla
    xs = inputs("meta", directions, requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        o = operator(*xs, implementation=implementation)
    forward = counter.get_total_flops()
    assert forward == 2 * 3 * directions * B * L * H * K * V
    with FlopCounterMode(display=False) as counter:
        torch.autograd.grad(o, xs, torch.ones_like(o))
    assert counter.get_total_flops() == 2 * forward


@pytest.mark.parametrize("directions", [1, 2])
def test_executed_products_are_those_that_run(directions: int) -> None:
    q, k, v, g_fwd, g_bwd = [*inputs("cpu", directions), None][:5]
    shapes = [None if x is None else x.shape for x in (q, k, v, g_fwd, g_bwd)]
    with FlopCounterMode(display=False, custom_mapping=IN_PLACE) as counter:
        _forward(q, k, v, g_fwd, g_bwd, 1.0)
    assert counter.get_total_flops() == 2 * chunk_products(*shapes)
    with FlopCounterMode(display=False, custom_mapping=IN_PLACE) as counter:
        _backward(v, q, k, v, g_fwd, g_bwd, 1.0)
    assert counter.get_total_flops() == 2 * chunk_products_backward(v.shape, *shapes)


def test_executed_count_depends_on_the_implementation() -> None:
    counts = {}
    for implementation in ("reference", "torch_chunk"):
        with FlopCounterMode(display=False, custom_mapping=EXECUTED_FLOPS) as counter:
            bidirectional_gla(*inputs("meta"), implementation=implementation)
        counts[implementation] = counter.get_total_flops() // 2
    padded = -(-L // chunk_size(L)) * chunk_size(L)
    assert counts["reference"] == 6 * B * L * H * K * V
    assert counts["torch_chunk"] > B * padded * H * (chunk_size(L) * (2 * K + V) + 4 * K * V)
