import pytest
import torch
from torch import Tensor

from vigbench.ops.attention.softmax import eager, sdpa
from vigbench.ops.registry import get_implementation


def by_definition(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    weights = torch.einsum("blhk,bmhk->bhlm", q, k).mul(scale).softmax(-1)
    return torch.einsum("bhlm,bmhv->blhv", weights, v)


@pytest.mark.parametrize("name", ["sdpa", "eager"])
@pytest.mark.parametrize(("key_dim", "value_dim"), [(8, 8), (4, 8)])
def test_output_and_gradients_are_those_of_the_definition(name: str, key_dim: int, value_dim: int) -> None:
    torch.manual_seed(0)
    inputs = [torch.randn(2, 7, 3, dim, dtype=torch.float64) for dim in (key_dim, key_dim, value_dim)]
    grad = torch.randn(2, 7, 3, value_dim, dtype=torch.float64)
    found, expected = [
        (*torch.autograd.grad(attend(*leaves, 0.3), leaves, grad), attend(*leaves, 0.3))
        for attend in (get_implementation("attention", name).load(), by_definition)
        for leaves in [[x.clone().requires_grad_() for x in inputs]]
    ]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_only_eager_keeps_the_scores_in_memory() -> None:
    from vigbench.measure.memory import cpu_allocator_peak

    q, k, v = (torch.randn(1, 512, 2, 16) for _ in range(3))
    scores = 2 * 512 * 512 * 4
    with torch.inference_mode():
        assert cpu_allocator_peak(lambda: eager(q, k, v, 0.25)) >= scores
        assert cpu_allocator_peak(lambda: sdpa(q, k, v, 0.25)) < scores
