"""From an implementation's name to the code that computes some tensors, in a way that torch.compile can follow."""

from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

from vigbench.ops.registry import get_implementation, select_implementation


def selected_implementation(operator: str, implementation: str, *inputs: Tensor | None) -> str:
    """The name of the code that computes these inputs: what "auto" means for them, or the implementation itself.

    ValueError where the code cannot run on the inputs' device, or has no backward where one is needed.
    """
    tensors = [x for x in inputs if x is not None]
    dtype = tensors[0].dtype if implementation == "auto" else None  # what is named says itself what it does not take
    training = torch.is_grad_enabled() and any(x.requires_grad for x in tensors)
    name: str = _selected_name(operator, implementation, tensors[0].device.type, training, dtype)
    return name


def load_operator(operator: str, name: str) -> Any:
    """The implementation's operator in torch.ops.vigbench; the function itself where it is a package's own."""
    defined = define(operator, name)
    # not its overload, which a profiler would not see by name
    return getattr(torch.ops.vigbench, defined) if defined else get_implementation(operator, name).load()


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]  # torch.compile need not trace an import
def define(operator: str, name: str) -> str:
    """The name of the implementation's operator, which importing defines; "" for a package's own function."""
    return _define(operator, name)


@cache
def _define(operator: str, name: str) -> str:
    target = get_implementation(operator, name).load()
    return str(target._schema.name).removeprefix("vigbench::") if isinstance(target, OpOverload) else ""


def autocasts(device_type: str) -> bool:
    """Whether torch.autocast is on for this kind of device."""
    return _has_autocast(device_type) and torch.is_autocast_enabled(device_type)


def computed_dtype(x: Tensor) -> torch.dtype:
    """What layers compute x in: autocast's dtype, or its own."""
    return torch.get_autocast_dtype(x.device.type) if autocasts(x.device.type) else x.dtype


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]  # torch 2.9 cannot trace it
def _has_autocast(device_type: str) -> bool:
    return torch.amp.is_autocast_available(device_type)


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _selected_name(operator: str, implementation: str, device: str, training: bool, dtype: torch.dtype | None) -> str:
    return _select(operator, implementation, device, training, dtype)


@cache  # finding out what is installed takes longer than a launch
def _select(operator: str, implementation: str, device: str, training: bool, dtype: torch.dtype | None) -> str:
    return select_implementation(operator, implementation, device, training, dtype).name
