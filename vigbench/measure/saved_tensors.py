"""What autograd keeps from the forward pass for the backward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain
from weakref import WeakSet

import torch
from torch import Tensor, nn


def saved_for_backward(forward: Callable[[], object], model: nn.Module, inputs: Iterable[Tensor]) -> int:
    """Bytes that the autograd graph of one forward pass holds besides weights, buffers and inputs.

    Counts storages, not tensors: views, and one tensor saved by several operators, count once. Sees whatever goes
    through autograd's saved tensors: torch's operators and custom functions that call `save_for_backward`. Does not see
    tensors that a custom function keeps as attributes of its own, nor inside of activation checkpointing.

    Args:
        forward: runs the forward pass (a loss may follow) with gradients on, and returns what holds its graph.
        model: its parameters and buffers are not counted.
        inputs: not counted.
    """
    alive: WeakSet[_Saved] = WeakSet()  # what a dead branch of the forward pass saved is gone before its end

    def pack(tensor: Tensor) -> _Saved:
        saved = _Saved(tensor.detach())  # detached: an output that held its own graph would never be freed
        alive.add(saved)
        return saved

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved.tensor):
        result = forward()
    known = {_address(tensor) for tensor in chain(model.parameters(), model.buffers(), inputs)}
    storages = {_address(saved.tensor): saved.tensor.untyped_storage().nbytes() for saved in alive}
    del result  # only now: it kept the graph
    return sum(size for address, size in storages.items() if address not in known)


class _Saved:
    """A saved tensor in the graph's hands; gone when the graph lets go of it."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
