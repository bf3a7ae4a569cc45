"""The tensors of a model, wherever it keeps them, and whether all of them have values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn.parameter import is_lazy

from vigbench.ops.registry import UnsupportedError
from vigbench.suites.case import Case


def require_values(model: nn.Module, case: Case) -> None:
    """Raise UnsupportedError if a tensor of the model has no values: on the meta device, fake, or not made yet."""
    for name, tensor in tensors_of(model):
        if is_lazy(tensor):
            raise UnsupportedError(
                f"{case.subject} has layers that take their size from a first input ({name}): call the model once in "
                "its factory, with an input of the right shape."
            )
        if tensor.is_meta or isinstance(tensor, FakeTensor):
            raise UnsupportedError(
                f"{case.subject} has a tensor without values ({name}, on the meta device): build it on the CPU, or "
                "load its weights in its factory."
            )


def tensors_of(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters, buffers, and what else its modules hold as attributes or in plain containers, each with its name."""
    for where, module in model.named_modules():
        for name, value in _named(vars(module)):
            yield f"{where}.{name}".lstrip("."), value


def _named(holder: Any, depth: int = 3) -> Iterator[tuple[str, Tensor]]:
    entries = holder.items() if isinstance(holder, Mapping) else enumerate(holder)
    for name, value in list(entries):
        if isinstance(value, Tensor):
            yield str(name), value
        elif depth and isinstance(value, dict | list | tuple) and name not in ("_modules",):
            prefix = "" if name in ("_parameters", "_buffers") else f"{name}."
            yield from ((f"{prefix}{inner}", tensor) for inner, tensor in _named(value, depth - 1))
