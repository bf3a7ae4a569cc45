"""Subjects that installed packages bring as entry points of the group `vigbench.subjects`. Imports none of them."""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points

GROUP = "vigbench.subjects"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")  # what --subject and file names can hold


@dataclass(frozen=True)
class Plugin:
    """A subject of an installed package.

    Attributes:
        name: of the subject.
        target: `package.module:factory`.
        distribution: name and version of the package that brings it.
        problem: why it is refused, and what to do; empty if it is not.
    """

    name: str
    target: str
    distribution: str
    problem: str = ""


def plugins() -> dict[str, Plugin]:
    """The plug-ins by name, refused ones included, from the metadata of installed packages."""
    return _read(tuple(sys.path))


@lru_cache(maxsize=4)
def _read(path: tuple[str, ...]) -> dict[str, Plugin]:  # noqa: ARG001  another path holds other packages
    found: dict[str, Plugin] = {}
    for entry in entry_points(group=GROUP):
        plugin = _plugin(entry)
        if (other := found.get(entry.name)) is not None:
            brought = f"{other.distribution} and {plugin.distribution} both bring a subject of this name"
            plugin = replace(plugin, problem=f"{brought}: uninstall one of them.")
        found[entry.name] = plugin
    return dict(sorted(found.items()))


def _plugin(entry: EntryPoint) -> Plugin:
    target = "".join(entry.value.partition("[")[0].split())
    problem = ""
    if not _NAME.fullmatch(entry.name):
        problem = "its name may hold letters, digits, dots, underscores and hyphens only: rename the entry point."
    elif ":" not in target:
        problem = f"{target!r} names no factory: write package.module:factory in its entry point."
    return Plugin(entry.name, target, _distribution(entry), problem)


def _distribution(entry: EntryPoint) -> str:
    names: tuple[str, ...] = ()
    with suppress(Exception):  # metadata that somebody has damaged; the subject itself may be fine
        names = (entry.dist.name, entry.dist.version) if entry.dist is not None else ()
    return " ".join(name for name in names if name) or "an unknown package"
