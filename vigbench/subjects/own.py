"""Subjects of the user's own: `package.module:factory`, and plug-ins, which are such factories under a name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import timm
import torch
from torch import nn

from vigbench.models.layers.table import LAYERS
from vigbench.nearest import one_of
from vigbench.ops.registry import UnsupportedError
from vigbench.subjects.building import build_on_meta
from vigbench.subjects.factory import (
    FactoryError,
    as_module,
    call_factory,
    in_one_line,
    load_factory,
    require_importable,
    search_current_folder,
    side_parameter,
)
from vigbench.subjects.operators import OPERATORS
from vigbench.subjects.plugins import Plugin, plugins
from vigbench.subjects.task import Task
from vigbench.suites.resolution import Resolution


def is_own(name: str) -> bool:
    """Whether a subject is the user's own: its weights are left alone, and its family is `other`."""
    return ":" in name or name in plugins()


def subject_plugins() -> dict[str, Plugin]:
    """The plug-ins by name; those that cannot be measured have a `problem`, such as the name of another subject."""
    return {name: _without_collision(plugin) for name, plugin in plugins().items()}


def own_target(name: str) -> str | None:
    """The `package.module:factory` of a subject of the user's own; None for every other subject.

    Raises:
        ValueError: if it is a plug-in that is refused; the message says why and what to do.
    """
    if ":" in name:
        return name
    plugin = plugins().get(name)
    if plugin is None:
        return None
    if problem := _without_collision(plugin).problem:
        raise ValueError(f"Subject {name!r}: the plug-in of {plugin.distribution} is refused: {problem}")
    return plugin.target


def build_own(name: str, target: str, resolution: Resolution, args: Mapping[str, Any] | None = None) -> nn.Module:
    """Call the factory with `args`, and the side of the images where it has a parameter for that.

    Raises:
        FactoryError: if there is no such factory, it needs other arguments, or returns no module.
        UnsupportedError: if it takes the side of the images, and refuses this one.
    """
    factory = _load(name, target)
    args = args or {}
    side = side_parameter(factory, target, args)
    try:
        made = call_factory(factory, side, resolution, args)
    except (AssertionError, ValueError) as error:
        if side is None:
            raise
        raise UnsupportedError(
            f"{name} cannot be built for {resolution} px: {in_one_line(error)}. Leave this resolution out."
        ) from error
    return as_module(made, target)


def own_task(name: str, target: str) -> Task | None:
    """The task that a factory names as its attribute `task`; None where it names none, or is a broken plug-in.

    Raises:
        FactoryError: as `load_factory`, of a `package.module:factory`; or if what is named is no task.
        UnsupportedError: if such a factory's module needs a package that is not installed.
    """
    try:
        factory = _load(name, target)
    except Exception as error:
        if ":" not in name:
            return None  # the case's record will say what is wrong: other packages' faults must stop no run
        if isinstance(error, ModuleNotFoundError):
            raise UnsupportedError(_lacks_package(name, error)) from error
        raise
    try:
        named = getattr(factory, "task", None)
        made = named() if isinstance(named, type) and issubclass(named, Task) else named
    except Exception as error:
        raise FactoryError(
            f"Subject {name!r}: its task raised {in_one_line(error)}. Its class has to be complete, and made without "
            "arguments."
        ) from error
    if isinstance(made, Task):
        if lacking := [word for word in ("name", "unit") if not isinstance(getattr(made, word, None), str)]:
            raise FactoryError(f"Subject {name!r}: its task {type(made).__name__} lacks {one_of(lacking)}: a text.")
        return made
    if made is None or isinstance(factory, type):  # a model's class may have such an attribute for its own ends
        return None
    raise FactoryError(
        f"Subject {name!r}: its attribute task is of type {type(made).__name__}; name a vigbench.Task, or its class."
    )


def require_buildable(name: str, resolutions: Sequence[Resolution], args: Mapping[str, Any] | None = None) -> None:
    """Raise ValueError, with advice, if a `package.module:factory` gives a model at none of these resolutions.

    So a mistyped name ends before anything is measured. Of a plug-in the case's record says it: other packages' faults
    must stop no run.
    """
    if ":" not in name:
        return
    try:
        side = side_parameter(_load(name, name), name, args or {})
        failure = _first_failure(name, resolutions if side else resolutions[:1], args)
    except ModuleNotFoundError as error:
        raise ValueError(_lacks_package(name, error)) from error
    if isinstance(failure, UnsupportedError):
        raise failure
    if failure is not None:
        raise ValueError(
            f"Subject {name!r}: its factory raised {in_one_line(failure)}. Call it in Python to see where, then run "
            "this again."
        ) from failure


def _first_failure(
    name: str, resolutions: Sequence[Resolution], args: Mapping[str, Any] | None
) -> BaseException | None:
    """Why no resolution could be built; None if one could."""
    first: BaseException | None = None
    for resolution in resolutions:
        try:
            build_on_meta(partial(build_own, name, name, resolution, args))
        except (FactoryError, ModuleNotFoundError):
            raise
        except (MemoryError, torch.OutOfMemoryError):
            return None  # a result, which the case's worker will find too
        except (Exception, SystemExit) as error:
            first = first or error
        else:
            return None
    return first


def _lacks_package(name: str, error: ModuleNotFoundError) -> str:
    package = (error.name or str(error)).partition(".")[0]
    return f"Subject {name!r} needs the package {package}, which is not installed: pip install {package}"


def _load(name: str, target: str) -> Callable[..., Any]:
    if ":" in name:  # a plug-in is installed, so nothing in the current folder shall stand in for it
        search_current_folder()
        require_importable(target)
    return load_factory(target)


def _without_collision(plugin: Plugin) -> Plugin:
    own = {**dict.fromkeys(OPERATORS, "an operator"), **dict.fromkeys(LAYERS, "a layer")}
    known = "a timm model" if timm.is_model(plugin.name) else own.get(plugin.name, "")
    if plugin.problem or not known:
        return plugin
    return replace(plugin, problem=f"{known} has this name. Rename its entry point, or uninstall the package.")
