"""What a call allocates and launches, found out on tensors without memory, so that nothing is computed or kept."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from vigbench.ops.kernel_launch import Launch, recorded_launches

ALIGNMENT = 512  # of each part of the working memory in bytes, as PyTorch's allocator has it; Triton asks for 16
_ALLOCATIONS = {"aten::empty", "aten::empty_like", "aten::empty_strided", "aten::new_empty", "aten::new_empty_strided"}


class NotTraceableError(Exception):
    """A call does more than to allocate, to take views and to launch."""


class Address(NamedTuple):
    """Bytes behind a base: the tensors given come first, then the results, then the working memory."""

    base: int
    offset: int


class TensorLayout(NamedTuple):
    """Of a result, as `torch.empty_strided` takes it."""

    shape: torch.Size
    strides: tuple[int, ...]
    dtype: torch.dtype


class _Allocation(NamedTuple):
    tensor: Tensor
    launches_before: int


class _AllocationMode(TorchDispatchMode):
    """Notes what is allocated, and refuses everything but allocations and views."""

    def __init__(self, launches: list[Launch]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.launches = launches
        self.allocations: list[_Allocation] = []

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if func._schema.name in _ALLOCATIONS:
            self.allocations.append(_Allocation(out, len(self.launches)))
        elif not func.is_view:
            raise NotTraceableError(f"{func} computes something")
        return out


class Trace:
    """One call of a function that only allocates, takes views and launches, with tensors like those `given`.

    Attributes:
        launches: in order; tensors in their arguments are the trace's own, see `address`.
        results: of the tensors returned; `single` where that is one and no list.
        working_bytes: for everything else that is allocated.
        bases: how many there are of what addresses refer to.
    """

    def __init__(self, function: Callable[..., Tensor | list[Tensor]], given: Sequence[Any]) -> None:
        like = [_like(x) if isinstance(x, Tensor) else x for x in given]
        with recorded_launches() as self.launches, _AllocationMode(self.launches) as mode:
            returned = function(*like)
        self._bases = {_storage(x): Address(n, 0) for n, x in enumerate(x for x in like if isinstance(x, Tensor))}
        self._kept = like, mode.allocations  # no storage's identity is used again
        self.single = isinstance(returned, Tensor)
        results = [returned] if isinstance(returned, Tensor) else returned
        for x in results:
            if _storage(x) in self._bases or x.untyped_storage().nbytes() != x.numel() * x.element_size():
                raise NotTraceableError("a result is no allocation of its own")
            self._bases[_storage(x)] = Address(len(self._bases), 0)
        self.results = [TensorLayout(x.shape, x.stride(), x.dtype) for x in results]
        first_working = len(self._bases)
        self.working_bytes = self._place(mode.allocations, first_working)
        self.bases = first_working + bool(self.working_bytes)

    def address(self, x: Tensor) -> Address:
        """Where a tensor in a launch's arguments begins."""
        base, offset = self._bases[_storage(x)]
        return Address(base, offset + int(x.storage_offset()) * x.element_size())

    def _place(self, allocations: list[_Allocation], base: int) -> int:
        """Put working tensors one behind the other, or where one of the same size is used no more; bytes for all."""
        last: dict[int, int] = {}
        for n, launch in enumerate(self.launches):
            last |= {_storage(x): n for x in leaves(launch.args) if isinstance(x, Tensor)}
        end = 0
        places: list[list[int]] = []  # offset, bytes, last launch
        for x, before in allocations:
            if _storage(x) in self._bases:
                continue
            size = -(-x.untyped_storage().nbytes() // ALIGNMENT) * ALIGNMENT
            place = next((earlier for earlier in places if earlier[1] == size and earlier[2] < before), None)
            if place is None:
                place = [end, size, 0]
                places.append(place)
                end += size
            place[2] = last.get(_storage(x), before)
            self._bases[_storage(x)] = Address(base, place[0])
        return end


def leaves(args: tuple[Any, ...]) -> Iterator[Any]:
    """What nested tuples hold, in order."""
    for x in args:
        if isinstance(x, tuple):
            yield from leaves(x)
        else:
            yield x


def _like(x: Tensor) -> Tensor:
    return torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device="meta")


def _storage(x: Tensor) -> int:
    return int(x.untyped_storage()._cdata)
