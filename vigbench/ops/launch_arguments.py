"""The arguments of a trace's launches, put together from addresses."""

from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import torch
from torch import Tensor

from vigbench.ops.kernel_launch import Launch
from vigbench.ops.launch_trace import Trace, leaves

Values = list[Any]
Pick = Callable[[Values], tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Pointer:
    """An address as Triton's compiler takes it in place of a tensor."""

    address: int
    dtype: torch.dtype

    def data_ptr(self) -> int:
        """As a tensor's."""
        return self.address


class Arguments:
    """How to put them together: for kernels still to be compiled, and for compiled ones.

    These take addresses and plain tuples, made in one list of values: the addresses of the trace's bases, numbers and
    other constants, addresses behind the bases, and then tuples, each of values before it.
    """

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        found = [leaf for launch in trace.launches for leaf in leaves(launch.args)]
        constants = [x for launch in trace.launches for x in launch.constants.values()]
        constants += [x for x in found if not isinstance(x, Tensor)]
        self._constants = list({id(x): x for x in constants}.values())
        addresses = dict.fromkeys(trace.address(x) for x in found if isinstance(x, Tensor))
        self._shifted = [address for address in addresses if address.offset]
        self._place_of_constant = {id(x): trace.bases + n for n, x in enumerate(self._constants)}
        first = trace.bases + len(self._constants)
        self._place_of_shifted = {address: first + n for n, address in enumerate(self._shifted)}
        self._first_tuple = first + len(self._shifted)
        self._tuples: dict[tuple[int, ...], Pick] = {}
        self._launches = [self._pick(launch) for launch in trace.launches]

    def of_compiled(self, addresses: list[int]) -> list[tuple[Any, ...]]:
        """Each launch's, from the addresses of the bases."""
        values: Values = addresses + self._constants
        values += [values[base] + offset for base, offset in self._shifted]
        for pick in self._tuples.values():
            values.append(pick(values))
        return [pick(values) for pick in self._launches]

    def typed(self, args: Any, addresses: list[int]) -> Any:
        """Those of a launch as they were, with pointers in the place of tensors."""
        if isinstance(args, Tensor):
            base, offset = self._trace.address(args)
            return Pointer(addresses[base] + offset, args.dtype)
        if not isinstance(args, tuple):
            return args
        parts = (self.typed(x, addresses) for x in args)
        return type(args)(*parts) if hasattr(args, "_fields") else tuple(parts)

    def _pick(self, launch: Launch) -> Pick:
        """All arguments by position."""
        names = launch.kernel.arg_names[len(launch.args) :]
        constants = [self._place_of_constant[id(launch.constants[name])] for name in names]
        return _picker(*(self._place(x) for x in launch.args), *constants)

    def _place(self, x: Any) -> int:
        """Where an argument is in the list of values."""
        if isinstance(x, Tensor):
            address = self._trace.address(x)
            return self._place_of_shifted.get(address, address.base)
        if not isinstance(x, tuple):
            return self._place_of_constant[id(x)]
        places = tuple(self._place(part) for part in x)
        self._tuples.setdefault(places, _picker(*places))
        return self._first_tuple + list(self._tuples).index(places)


def _picker(*places: int) -> Pick:
    """Makes a tuple of the values there."""
    return itemgetter(*places) if len(places) > 1 else lambda values: tuple(values[n] for n in places)
