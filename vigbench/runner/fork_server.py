"""The process that workers are forked from: it has torch and timm imported, so that they start in milliseconds."""

from __future__ import annotations

import contextlib
import multiprocessing
import sys
from collections.abc import Iterator
from functools import lru_cache
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from types import ModuleType


@lru_cache(maxsize=1)
def context() -> ForkServerContext:
    """What makes pipes and processes of the fork server."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(["vigbench.worker.preload"])
    return found


def start() -> None:
    """Let it import, which takes seconds, while this process does something else: the first worker then waits less."""
    context()
    with without_main():
        forkserver.ensure_running()


@contextlib.contextmanager
def without_main() -> Iterator[None]:
    """Keep the worker from importing the user's script, which may call `vigbench.run` outside a `__main__` guard."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
