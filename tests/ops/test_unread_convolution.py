"""A convolution whose result is lost: counted as one, executed as nothing."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from vigbench.measure.counting_rule import FORMULAS
from vigbench.ops.cost import EXECUTED_FLOPS
from vigbench.ops.unread_convolution import instead_of_convolution

SHAPES = [((2, 2, 5, 6, 7), (1, 2, 7, 7, 7)), ((3, 4, 9), (5, 4, 3)), ((1, 3, 8, 6), (4, 3, 1, 5))]


def tensors(x: tuple[int, ...], weight: tuple[int, ...], device: str = "cpu") -> tuple[Tensor, Tensor, Tensor]:
    return tuple(torch.randn(shape, device=device, requires_grad=True) for shape in ((1,), x, weight))  # type: ignore[return-value]


@pytest.mark.parametrize(("x", "weight"), SHAPES)
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_it_is_counted_as_the_convolution_is(x: tuple[int, ...], weight: tuple[int, ...], device: str) -> None:
    result, x_, weight_ = tensors(x, weight, device)
    convolve = (F.conv1d, F.conv2d, F.conv3d)[len(x) - 3]
    with FlopCounterMode(display=False, custom_mapping=dict(FORMULAS)) as counter, torch.no_grad():
        convolve(x_, weight_, padding=[side // 2 for side in weight[2:]])
    expected = counter.get_total_flops()
    with FlopCounterMode(display=False, custom_mapping=dict(FORMULAS)) as counter:
        out = instead_of_convolution(result, x_, weight_)
    assert counter.get_total_flops() == expected > 0
    with FlopCounterMode(display=False, custom_mapping=EXECUTED_FLOPS) as counter:
        instead_of_convolution(result, x_, weight_)
    assert counter.get_total_flops() == 0
    assert (out.shape, out.dtype, out.device) == (result.shape, result.dtype, result.device)


def test_the_result_and_its_gradient_pass_through_alone() -> None:
    result, x, weight = tensors(*SHAPES[0])
    out = instead_of_convolution(result, x, weight)
    assert torch.equal(out, result)
    (3 * out).sum().backward()
    assert result.grad is not None
    assert result.grad.tolist() == [3.0]
    assert x.grad is None
    assert weight.grad is None


def test_it_is_what_torch_asks_of_an_operator() -> None:
    asked = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(torch.ops.vigbench.convolution_skipped, tensors(*SHAPES[1]), test_utils=asked)


def test_no_graph_is_broken() -> None:
    def twice(result: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        return 2 * instead_of_convolution(result, x, weight)

    given = tensors(*SHAPES[1])
    compiled = torch.compile(twice, backend="aot_eager", fullgraph=True)
    assert torch.equal(compiled(*given), twice(*given))
