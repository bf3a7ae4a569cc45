"""What torch.compile made of a model is counted, not believed."""

import pytest
import torch
from torch import Tensor, nn

from vigbench.measure.compilation import Compilation, watch_compilation, watch_kernels


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


def test_triton_kernels_are_timed_while_they_compile() -> None:
    pytest.importorskip("triton")
    from tests.ops.gla.compiling import Variant, compile_pass

    with watch_kernels() as seconds:
        assert seconds == []
        kernels = compile_pass(Variant("forward", 16, 16, "float16", "log_decay", 90))
    assert len(seconds) == len(kernels)
    assert all(one > 0 for one in seconds)
    compile_pass(Variant("forward", 16, 16, "float16", "log_decay", 80))
    assert len(seconds) == len(kernels), "what follows is not counted"
