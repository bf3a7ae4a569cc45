"""Public functions of a package that imports nothing until one of them is asked for (PEP 562)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def lazy_attributes(
    package: str, home: str, names: Sequence[str], elsewhere: Mapping[str, str] | None = None
) -> Callable[[str], Any]:
    """A package's `__getattr__`: it looks `names` up in its module `home`, or in the one that `elsewhere` says."""

    def get(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{(elsewhere or {}).get(name, home)}"), name)

    return get
