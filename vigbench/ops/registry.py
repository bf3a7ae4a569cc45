"""One registry of all operators: each folder beside this file declares one in its `__init__.py`, without torch."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

from vigbench.nearest import did_you_mean, one_of
from vigbench.ops.declaration import Implementation, OperatorInfo, device_type

if TYPE_CHECKING:
    import torch

_OPERATORS: dict[str, OperatorInfo] = {}


class UnsupportedError(ValueError):
    """This cannot be measured with these settings; the message says why and what to do."""


def register_operator(operator: OperatorInfo) -> OperatorInfo:
    """Make an operator known to everything that asks for one by its name."""
    assert operator.name not in _OPERATORS, f"{operator.name} is registered twice"
    _OPERATORS[operator.name] = operator
    return operator


def list_operators() -> list[OperatorInfo]:
    """Every operator there is."""
    _load_declarations()
    return list(_OPERATORS.values())


def get_operator(name: str) -> OperatorInfo:
    """The operator of that name. ValueError, with the nearest and the allowed names, where there is none."""
    _load_declarations()
    _check(name, _OPERATORS, "operator")
    return _OPERATORS[name]


def list_implementations(operator: str | None = None) -> list[Implementation]:
    """Implementations of one operator, or of all, in order of preference. ValueError for an unknown operator."""
    operators = list_operators() if operator is None else [get_operator(operator)]
    return [each for declared in operators for each in declared.implementations]


def get_implementation(operator: str, name: str) -> Implementation:
    """The implementation of that name. ValueError, with the allowed names, where there is none."""
    named = {each.name: each for each in get_operator(operator).implementations}
    _check(name, named, f"implementation of {operator}")
    return named[name]


def select_implementation(
    operator: str, name: str, device: str, training: bool = False, dtype: torch.dtype | None = None
) -> Implementation:
    """The named implementation, or for "auto" the first supported one, if it can run on this device type.

    `training` asks for one with a backward, `dtype` for one that takes it. ValueError, with the reason, where nothing
    fits.
    """
    if name != "auto":
        chosen = get_implementation(operator, name)
        if reason := _reason(chosen, device, training, dtype):
            raise ValueError(f"{operator} implementation {name!r} cannot run: {reason}")
        return chosen
    for each in list_implementations(operator):
        portable = not each.devices or device_type(device) != "meta"  # shapes: the one that any machine has
        if portable and _reason(each, device, training, dtype) is None:
            return each
    raise ValueError(f"no implementation of {operator} runs on {device!r}; see list_implementations({operator!r})")


@cache
def _load_declarations() -> None:
    folder = Path(__file__).parent
    for module in iter_modules([str(folder)]):
        if module.ispkg:
            import_module(f"{__package__}.{module.name}")


def _reason(implementation: Implementation, device: str, training: bool, dtype: torch.dtype | None) -> str | None:
    if training and device_type(device) in implementation.inference_only:
        return f"{implementation.name} has no backward on {device_type(device)}: choose another implementation"
    if training and not implementation.training:
        return f"{implementation.name} has no backward: use torch.no_grad() or another implementation"
    return implementation.unsupported_reason(device, dtype)


def _check(name: str, allowed: dict[str, Any], what: str) -> None:
    if name not in allowed:
        raise ValueError(f"unknown {what} {name!r}{did_you_mean(name, allowed)} Choose from {one_of(sorted(allowed))}.")
