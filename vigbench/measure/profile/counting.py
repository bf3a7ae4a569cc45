"""What each operator call has to compute and to move, from its arguments: FLOPs by the counting rule, and bytes."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch._C import DispatchKey, _dispatch_has_kernel_for_dispatch_key
from torch._C._profiler import _RecordFunctionFast
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vigbench.measure.counting_rule import formula_of, is_zero_by_rule
from vigbench.measure.special_functions import special_functions_of

_LABEL = "vigbench: operator "
_UNTOUCHED = ("empty", "new_empty", "resize_", "set_")  # memory without values, or another view of it
_ONLY_WRITES = ("copy_", "fill_", "zero_", "normal_", "uniform_", "bernoulli_", "exponential_")


@dataclass(frozen=True)
class CountedCall:
    """One call that the dispatcher saw.

    Attributes:
        name: `namespace::name`.
        flops: 2 x multiply-adds by the rule of docs/measurement.md.
        moved: bytes of inputs and outputs, each once; an argument that is changed in place is both.
        special: exponentials and the like.
        known: whether the rule covers it: by a formula, or as free. If not, `flops` is 0 and may be too few.
    """

    name: str
    flops: int
    moved: int
    special: int = 0
    known: bool = True


class CountedCalls(TorchDispatchMode):
    """Records every operator call, composite ones taken apart, each in a range that names its number in `calls`."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call, unused-ignore]
        self.calls: list[CountedCall] = []

    def call_of(self, range_name: str) -> CountedCall | None:
        """The call that a range was opened for; None if it is another's."""
        return self.calls[int(range_name[len(_LABEL) :])] if range_name.startswith(_LABEL) else None

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if not isinstance(func, OpOverload) or func.namespace in ("profiler", "prim"):
            return func(*args, **kwargs)
        formula = formula_of(func.overloadpacket)
        if formula is None and _dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd"):
            with self:  # not `func.decompose`: in torch 2.9 it may call other operators than those that run
                return func._op_dk(DispatchKey.CompositeImplicitAutograd, *args, **kwargs)
        with _RecordFunctionFast(f"{_LABEL}{len(self.calls)}"):
            out = func(*args, **kwargs)
        self.calls.append(
            CountedCall(
                name=func._schema.name,
                flops=int(formula(*args, **kwargs, out_val=out)) if formula else 0,
                moved=bytes_moved(func, args, kwargs, out),
                special=special_functions_of(func, args, kwargs, out),
                known=formula is not None or is_zero_by_rule(func),
            )
        )
        return out


def bytes_moved(func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> int:
    """Bytes of inputs and outputs, each once; 0 for views and for memory that is not filled.

    Broadcast dimensions count once. Of a table from which a few rows are gathered the whole counts. Sparse and nested
    tensors, which are no one block of memory, count as 0.
    """
    if func.overloadpacket.__name__.startswith(_UNTOUCHED):
        return 0
    inputs, changed = _arguments(func, args, kwargs)
    outputs = _distinct([*tree_leaves(out), *changed])
    if not changed and outputs and all(_storage(x) in {_storage(y) for y in inputs} for x in outputs):
        return 0
    return sum(map(_size, _distinct(inputs))) + sum(map(_size, outputs))


def _arguments(func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[list[Tensor], list[Tensor]]:
    """The tensors that are read, and those that are written to."""
    read: list[Tensor] = []
    changed: list[Tensor] = []
    only_writes = func.overloadpacket.__name__ in _ONLY_WRITES
    for index, argument in enumerate(func._schema.arguments):
        value = args[index] if index < len(args) else kwargs.get(argument.name)
        tensors = _in_one_block(tree_leaves(value))
        written = argument.alias_info is not None and argument.alias_info.is_write
        if written:
            changed += tensors
        if not written or not (only_writes or argument.is_out):
            read += tensors
    return read, changed


def _distinct(values: list[Any]) -> list[Tensor]:
    found = {(x.data_ptr(), x.shape, x.stride()): x for x in _in_one_block(values)}
    return list(found.values())


def _in_one_block(values: list[Any]) -> list[Tensor]:
    return [x for x in values if isinstance(x, Tensor) and x.layout is torch.strided and not x.is_nested]


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _size(tensor: Tensor) -> int:
    own = (size for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride or size == 0)
    return prod(own) * tensor.element_size()
