"""The machine itself: products in all layouts, and races and faults that are really there."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

pytest.importorskip("triton")

import triton
import triton.language as tl

from tests.ptx import simulate
from tests.ptx.memory import MemoryFaultError, RaceError
from tests.ptx.program import Program, parse
from tests.ptx.simulate import simulated
from vigbench.ops import kernel_launch

CPU = torch.device("cpu")


@triton.jit
def two_products(a, b, c, out, rows: tl.constexpr, inner: tl.constexpr, columns: tl.constexpr, turned: tl.constexpr):  # type: ignore[no-untyped-def]
    """out = (a b^T if turned else a b) c, the first product rounded to the operands' dtype."""
    row, k, column = tl.arange(0, rows), tl.arange(0, inner), tl.arange(0, columns)
    first = tl.load(a + row[:, None] * inner + k[None, :])
    if turned:
        second = tl.trans(tl.load(b + column[:, None] * inner + k[None, :]))
    else:
        second = tl.load(b + k[:, None] * columns + column[None, :])
    third = tl.load(c + column[:, None] * columns + column[None, :])
    product = tl.dot(tl.dot(first, second).to(first.dtype), third)
    tl.store(out + row[:, None] * columns + column[None, :], product)


def run_products(
    capability: int, warps: int, rows: int, inner: int, columns: int, dtype: torch.dtype, turned: bool
) -> float:
    """The largest error over the largest value."""
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(rows, inner, generator=generator).to(dtype)
    b = torch.randn(*((columns, inner) if turned else (inner, columns)), generator=generator).to(dtype)
    c = torch.randn(columns, columns, generator=generator).to(dtype)
    out = torch.full((rows, columns), torch.nan)
    constants: dict[str, Any] = {"rows": rows, "inner": inner, "columns": columns, "turned": turned}
    with simulated(capability):
        kernel_launch.launch_kernel(two_products, (1, 1, 1), CPU, (a, b, c, out), constants, warps, 1)
    first = (a.float() @ (b.mT if turned else b).float()).to(dtype)
    expected = first.double() @ c.double()
    return float((out - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    ("capability", "warps", "rows", "inner", "columns"),
    [(80, 4, 32, 16, 32), (80, 2, 64, 32, 16), (90, 4, 64, 16, 16), (90, 4, 64, 32, 32), (90, 8, 64, 64, 64)],
)
def test_products_are_those_of_torch(
    capability: int, warps: int, rows: int, inner: int, columns: int, dtype: torch.dtype, turned: bool
) -> None:
    assert run_products(capability, warps, rows, inner, columns, dtype, turned) <= 2e-2  # a rounding of the first


def without(barrier: int) -> Callable[[str], Program]:
    """Parses, and drops one barrier."""

    def parse_less(ptx: str) -> Program:
        program = parse(ptx)
        places = [n for n, step in enumerate(program.instructions) if step.parts[0] in ("bar", "barrier")]
        gone = program.instructions[places[barrier]]
        program.instructions[places[barrier]] = gone._replace(parts=("fence",), operands=())
        return program

    return parse_less


@pytest.mark.parametrize("barrier", [0, -1])
def test_a_missing_barrier_is_a_race(barrier: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulate, "parsed", without(barrier))
    with pytest.raises(RaceError, match=r"barrier between|not finished reading"):
        run_products(80, 4, 32, 32, 32, torch.float16, False)


def test_an_address_outside_of_all_tensors_is_a_fault() -> None:
    few = torch.zeros(8, dtype=torch.float16)
    out = torch.zeros(32, 32)
    constants: dict[str, Any] = {"rows": 32, "inner": 32, "columns": 32, "turned": False}
    with simulated(80), pytest.raises(MemoryFaultError, match="belongs to no tensor"):
        kernel_launch.launch_kernel(two_products, (1, 1, 1), CPU, (few, few, few, out), constants, 4, 1)
