"""What torch.compile made of a model is counted, not believed."""

import pytest
import torch
from torch import Tensor, nn

from vigbench.measure.compilation import Compilation, watch_compilation


class Whole(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x + 1).sin()


class Broken(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        x = x + 1
        torch._dynamo.graph_break()
        return x.sin()


class Excluded(nn.Module):
    @torch.compiler.disable
    def forward(self, x: Tensor) -> Tensor:
        return (x + 1).sin()


@pytest.mark.parametrize(
    ("model", "expected"),
    [(Whole(), Compilation(1, 0)), (Broken(), Compilation(2, 1)), (Excluded(), Compilation(0, 1))],
)
def test_graphs_and_their_breaks(model: nn.Module, expected: Compilation) -> None:
    torch._dynamo.reset()
    call = torch.compile(model, backend="eager")
    output, compilation = watch_compilation(lambda: call(torch.zeros(3)))
    assert torch.equal(output, torch.ones(3).sin())
    assert compilation == expected
    assert watch_compilation(lambda: call(torch.zeros(3)))[1] == Compilation(0, 0), "compiled once"
