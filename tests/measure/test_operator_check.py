"""The check finds what is wrong: values, gradients, memory left unwritten, other bits the second time."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from vigbench.measure.operator_check import PRECISIONS, check_implementation, poisoned_memory
from vigbench.ops.declaration import Implementation, OperatorInfo, load_target
from vigbench.ops.gla.samples import samples as gla_samples
from vigbench.ops.registry import UnsupportedError, get_operator, list_operators
from vigbench.ops.sample import Draw, Sample

CPU = torch.device("cpu")
SQUARE = Implementation("under test", "squares", torch.square)
EXACT = Implementation("exact", "squares", torch.square)


def check_of(run: Callable[[Tensor], Tensor], lengths: tuple[int, ...] = (3, 40)) -> OperatorInfo:
    """An operator that squares: `run` is what is checked, torch's own square the reference."""

    def samples(device: torch.device, dtype: torch.dtype) -> Iterator[Sample]:
        draw = Draw(device, dtype)
        for length in lengths:
            x, grad = draw.rounded(length), draw.rounded(length)
            yield Sample(f"{length} numbers", (x,), ("x",), grad, lambda name, x: x * x if name == "exact" else run(x))

    return OperatorInfo("square", "Square", (SQUARE, EXACT), "exact", {"float32": 2e-6}, samples)


def test_what_is_right_passes() -> None:
    found = check_implementation(check_of(lambda x: x * x), SQUARE, "float32", CPU)
    assert found.passed
    assert found.repeats
    assert found.samples == 2


def test_a_wrong_value_is_found_with_its_place() -> None:
    def wrong(x: Tensor) -> Tensor:
        return x * x + (1e-3 if x.numel() == 40 else 0.0)

    found = check_implementation(check_of(wrong), SQUARE, "float32", CPU)
    assert not found.passed
    assert found.where == "output: 40 numbers"


def test_a_wrong_gradient_is_found() -> None:
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: Tensor) -> Tensor:  # type: ignore[override]
            ctx.x = x  # type: ignore[attr-defined]
            return x * x

        @staticmethod
        def backward(ctx: object, grad: Tensor) -> Tensor:  # type: ignore[override]
            return 2.001 * ctx.x * grad  # type: ignore[attr-defined,no-any-return]

    found = check_implementation(check_of(Square.apply), SQUARE, "float32", CPU)
    assert not found.passed
    assert found.where.startswith("dx: ")


def test_memory_that_is_left_unwritten_is_found() -> None:
    def lazy(x: Tensor) -> Tensor:
        out = torch.empty_like(x)
        out[:-1] = x[:-1] * x[:-1]
        return out + 0 * x

    found = check_implementation(check_of(lazy), SQUARE, "float32", CPU)
    assert not found.passed
    assert found.error == float("inf")


def test_other_bits_the_second_time_are_found() -> None:
    calls: list[int] = []

    def drifting(x: Tensor) -> Tensor:
        calls.append(0)
        return x * x * (1 + 2e-7 * (len(calls) % 2))

    found = check_implementation(check_of(drifting), SQUARE, "float32", CPU)
    assert found.passed
    assert not found.repeats


def test_samples_that_cannot_be_computed_are_named() -> None:
    def picky(x: Tensor) -> Tensor:
        if x.numel() == 3:
            raise UnsupportedError("not 3")
        return x * x

    assert check_implementation(check_of(picky), SQUARE, "float32", CPU).refused == {"3 numbers": "not 3"}
    with pytest.raises(UnsupportedError, match="not 3"):
        check_implementation(check_of(picky, (3,)), SQUARE, "float32", CPU)


def test_decays_of_minus_infinity_are_kept_from_who_does_not_take_them() -> None:
    some = [sample for sample in gla_samples(CPU, torch.float32) if sample.infinite]
    check = replace(get_operator("gla"), samples=lambda *_: iter([*some, next(gla_samples(CPU, torch.float32))]))
    torch_chunk = next(one for one in check.implementations if one.name == "torch_chunk")
    assert check_implementation(check, torch_chunk, "float32", CPU).samples == 2
    found = check_implementation(check, replace(torch_chunk, infinite_decay=False), "float32", CPU)
    assert (found.samples, len(found.refused)) == (1, 1)


def test_poisoned_memory_ends() -> None:
    with poisoned_memory():
        assert torch.empty(3).isnan().all()
        assert torch.zeros(2).new_empty(3).isnan().all()
        assert torch.empty(3, dtype=torch.int64).numel() == 3
        assert torch.empty_strided((4,), (1,), dtype=torch.uint8).view(torch.float32).isnan().all()
    assert torch.empty.__name__ == "empty"


@pytest.mark.parametrize("operator", list_operators(), ids=lambda operator: operator.name)
def test_every_sample_is_what_its_operator_takes(operator: OperatorInfo) -> None:
    """The reference computes each; shapes of results are those of the gradients given."""
    for sample in load_target(operator.samples)(CPU, PRECISIONS["float32"]):
        out = sample.run(operator.check_reference, *sample.inputs)
        assert out.shape == sample.grad.shape, sample.name
        assert len(sample.names) == len(sample.inputs)
