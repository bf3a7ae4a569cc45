"""A copy of a model in which every tensor is a fake one: it has a shape, a dtype and a device, and no memory."""

from __future__ import annotations

import copy
import gc
from collections.abc import Iterator
from functools import _lru_cache_wrapper
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.overrides import TorchFunctionMode


def skeleton_of(model: nn.Module, mode: FakeTensorMode, *, meta: bool = False) -> nn.Module:
    """A deep copy without values. Whatever its forward pass keeps or replaces, the model itself never sees.

    Tensors that are no parameters or buffers (constants, masks kept in a dictionary) are fake too, and what is
    registered under two names stays one.

    Args:
        model: on any device.
        mode: whose tensors it gets.
        meta: whether those of the meta device say so, or that they are on the CPU.

    Raises:
        Exception: whatever a part that cannot be copied raises.
    """
    every = [*model.parameters(), *model.buffers()]
    memo: dict[int, Any] = {id(tensor): fake_like(tensor, mode, meta=meta) for tensor in every}
    memo[id(memo)] = every  # as deepcopy does: an id means its object only while that lives
    with _FakeCopies(mode, meta):
        return copy.deepcopy(model, memo)


def fake_like(tensor: Tensor, mode: FakeTensorMode, *, meta: bool = False) -> Tensor:
    """A fake tensor of the same layout; of a parameter, a parameter."""
    device = "cpu" if tensor.is_meta and not meta else tensor.device
    with mode:
        fake = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=device)
    return nn.Parameter(fake, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else fake


class _FakeCopies(TorchFunctionMode):
    """Answers the request for a copy of a tensor with a fake one."""

    def __init__(self, mode: FakeTensorMode, meta: bool) -> None:
        super().__init__()
        self.mode, self.meta = mode, meta

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is not Tensor.__deepcopy__:
            return func(*args, **(kwargs or {}))
        tensor, memo = args
        memo[id(tensor)] = made = fake_like(tensor, self.mode, meta=self.meta)
        return made


def forget(mode: FakeTensorMode) -> None:
    """Take a mode's tensors out of what lives on without the skeleton: dictionaries, lists and caches of functions.

    A forward pass may keep what it has made outside of its model, and would find a tensor without values there.
    """
    if not any(True for _ in _leftovers(mode)):
        return
    gc.collect()  # cycles of the skeleton itself
    left = list(_leftovers(mode))
    for tensor in left:
        for holder in gc.get_referrers(tensor):
            if isinstance(holder, dict):
                for key in [key for key, value in holder.items() if value is tensor]:
                    del holder[key]
            elif isinstance(holder, list) and holder is not left:
                holder[:] = [value for value in holder if value is not tensor]
    found = set(map(id, left))
    for one in gc.get_objects() if left else ():
        if type(one) is _lru_cache_wrapper and _reaches(one, found):
            one.cache_clear()


def _reaches(cache: object, found: set[int], depth: int = 4) -> bool:
    """Whether a function's cache holds one of these objects, alone or in containers; others are left alone."""
    inside = gc.get_referents(cache)
    if any(id(one) in found for one in inside):
        return True
    kinds = (dict, list, tuple, set)
    return depth > 0 and any(
        _reaches(one, found, depth - 1)
        for one in inside
        if isinstance(one, kinds) or type(one).__name__ == "_lru_list_elem"
    )


def _leftovers(mode: FakeTensorMode) -> Iterator[FakeTensor]:
    return (one for one in gc.get_objects() if type(one) is FakeTensor and one.fake_mode is mode)
