"""Launches Triton kernels without a GPU: compiled for one, and run by the machine here on tensors of the CPU."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import product
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from triton.runtime import driver

from tests.ops.gla.compiling import NoGpu, compile_kernel
from tests.ptx.machine import Launch, Machine
from tests.ptx.memory import GlobalMemory
from tests.ptx.program import Program, parse
from vigbench.ops import kernel_launch


@contextmanager
def simulated(capability: int) -> Iterator[None]:
    """Inside, kernels of the project's operators run on CPU tensors as compiled for that capability."""
    driver.set_active(NoGpu(capability))
    with patch.object(kernel_launch, "launch_kernel", _run):
        yield


def _run(
    kernel: Any, grid: tuple[int, int, int], device: Any, args: Any, constants: dict[str, Any], warps: int, stages: int
) -> None:
    binary = compile_kernel(kernel, grid, args, constants, warps, stages)
    program = parsed(binary.asm["ptx"])
    values = list(_runtime_values(args, tuple(binary.src.signature.values())[: len(args)]))
    names = list(program.parameters)
    values += [0] * (len(names) - len(values))  # scratch memory, which none of the kernels uses
    memory = GlobalMemory(list(_tensors(args)))
    given = {name: x.data_ptr() if isinstance(x, Tensor) else x for name, x in zip(names, values, strict=True)}
    for z, y, x in product(*(range(n) for n in reversed(grid))):
        Machine(program, Launch((x, y, z), grid, warps, binary.metadata.shared, given), memory).run()


@lru_cache(maxsize=64)
def parsed(ptx: str) -> Program:
    """The program of a module."""
    return parse(ptx)


def _runtime_values(args: Any, kinds: Any) -> Iterator[Any]:
    """Arguments that are not compiled in, tuples taken apart."""
    for value, kind in zip(args, kinds, strict=True):
        if isinstance(value, tuple):
            yield from _runtime_values(tuple(value), tuple(kind))
        elif kind != "constexpr":
            yield value


def _tensors(args: Any) -> Iterator[Tensor]:
    for value in args:
        if isinstance(value, tuple):
            yield from _tensors(value)
        elif isinstance(value, torch.Tensor):
            yield value
