"""Models of the user's own: `package.module:factory`, imported and called."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Collection, Mapping
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from torch import nn

from vigbench.nearest import did_you_mean, one_of
from vigbench.suites.arguments import SIDE_NAMES
from vigbench.suites.resolution import Resolution

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_COLLECTING = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class FactoryError(ValueError):
    """A factory is not what it has to be; the message is complete: what is wrong, and what to do."""


def search_current_folder() -> None:
    """Let imports search the current folder first, as `python -m` does and a console script does not."""
    folder = os.getcwd()  # noqa: PTH109  as Python itself writes it into sys.path
    if folder not in sys.path:
        sys.path.insert(0, folder)


def require_importable(target: str) -> None:
    """Raise FactoryError if the module's name is taken, so that importing it would give, or break, another module.

    Raises:
        FactoryError: if a file on the search path has the name of one of Python's own modules, or of a module that is
            imported from elsewhere; or if the target is not written as package.module:factory.
    """
    top = _parts(target)[0].partition(".")[0]
    spec = PathFinder.find_spec(top)
    if spec is None or spec.origin is None or not spec.has_location:
        return
    found, known = Path(spec.origin), getattr(sys.modules.get(top), "__file__", None)
    name = found.parent.name if found.stem == "__init__" else found.name
    if top in sys.stdlib_module_names:
        if not found.is_relative_to(Path(os.__file__).parent):
            raise FactoryError(f"Subject {target!r}: {top} is Python's own module; rename {name}.")
    elif known and not _is_same(found, Path(known)):
        raise FactoryError(
            f"Subject {target!r}: {top} is imported from {known} already, and so cannot be from {found}; rename {name}."
        )


def _is_same(one: Path, other: Path) -> bool:
    """Whether two files are one, or equal modules; of a package the first file says nothing about the others."""
    if one.resolve() == other.resolve():
        return True
    try:
        return one.stem != "__init__" and one.read_bytes() == other.read_bytes()
    except OSError:
        return False


def load_factory(target: str) -> Callable[..., Any]:
    """Import what `package.module:factory` names.

    Raises:
        FactoryError: if it is not written so, is not there, cannot be called, or its module fails when imported.
        ModuleNotFoundError: if its module needs a package that is not installed.
    """
    module_name, attribute = _parts(target)
    try:
        found: Any = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError):
            _require_same_package(error, target, module_name)
        raise FactoryError(
            f"Subject {target!r}: importing {module_name} raised {in_one_line(error)}. Make that import "
            "work in Python first."
        ) from error
    for name in attribute.split("."):
        if not hasattr(found, name):
            near = did_you_mean(name, [member for member in dir(found) if not member.startswith("_")])
            raise FactoryError(
                f"Subject {target!r}: {module_name} has no {name!r}{near} Name a function or class of it."
            )
        found = getattr(found, name)
    if isinstance(found, nn.Module):
        raise FactoryError(
            f"{target} is a model, not a function that makes one: name the class, or write a function that returns it."
        )
    if not callable(found):
        raise FactoryError(
            f"Subject {target!r} is not callable but of type {type(found).__name__}; name a function that returns a "
            "torch.nn.Module, or the module's class."
        )
    return found  # type: ignore[no-any-return]


def side_parameter(factory: Callable[..., Any], target: str, args: Collection[str] = ()) -> str | None:
    """The parameter that takes the side of the images in px; None if there is none.

    Raises:
        FactoryError: if the factory needs any other argument than `args`, or does not take one of those.
    """
    try:
        parameters = list(inspect.signature(factory).parameters.values())
    except (TypeError, ValueError):  # code without a signature is called without arguments
        return None
    side = next(
        (parameter.name for parameter in parameters if parameter.name in SIDE_NAMES and parameter.kind in _NAMED), None
    )
    needed = [
        parameter.name
        for parameter in parameters
        if parameter.default is parameter.empty
        and parameter.kind not in _COLLECTING
        and parameter.name not in (side, *args)
    ]
    if needed:
        raise FactoryError(
            f"Subject {target!r} needs arguments ({', '.join(needed)}); give them defaults, or values as args in a "
            f"suite, or name a function that needs none. Only {' or '.join(SIDE_NAMES)} is passed by itself, with the "
            "side of the images in px."
        )
    taken = [parameter.name for parameter in parameters if parameter.kind in _NAMED]
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return side
    for name in args:
        if name not in taken:
            raise FactoryError(
                f"Subject {target!r} takes no argument {name!r}{did_you_mean(name, taken)} "
                f"It takes: {one_of(taken) or 'none'}."
            )
    return side


def call_factory(factory: Callable[..., Any], side: str | None, resolution: Resolution, args: Mapping[str, Any]) -> Any:
    """What the factory returns for inputs of `resolution` px: it is given a number, or all sides where they differ."""
    if side is None:
        return factory(**args)
    sides = resolution if isinstance(resolution, int) else tuple(map(int, resolution.split("x")))
    return factory(**{side: sides}, **args)


def as_module(made: Any, target: str) -> nn.Module:
    """The model that a factory has made. FactoryError if it is none."""
    if not isinstance(made, nn.Module):
        raise FactoryError(f"Subject {target!r} returned {type(made).__name__}; it must return a torch.nn.Module.")
    return made


def in_one_line(error: BaseException) -> str:
    """The kind of an error and the first line of what it says."""
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__


def _require_same_package(error: ModuleNotFoundError, target: str, module_name: str) -> None:
    """Say that the factory's own module is missing; raise the error itself if that is about another package."""
    missing = error.name or ""
    if f"{module_name}.".startswith(f"{missing}."):
        advice = "Leave .py out." if missing.endswith(".py") else "Go to the folder that holds it, or install it."
        raise FactoryError(
            f"Subject {target!r}: no module {missing!r} is in the current folder or among the installed packages. "
            f"{advice}"
        ) from error
    if missing.partition(".")[0] != module_name.partition(".")[0]:
        raise error


def _parts(target: str) -> tuple[str, str]:
    module_name, _, attribute = target.partition(":")
    if not all(part.isidentifier() for part in f"{module_name}.{attribute}".split(".")):
        raise FactoryError(
            f"Subject {target!r} is not the name of a factory; write package.module:factory, with dots for folders and "
            "without .py."
        )
    return module_name, attribute
