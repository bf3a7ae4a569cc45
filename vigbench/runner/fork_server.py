"""The processes that workers are forked from: they have torch and timm imported, so that workers start in milliseconds.

There is one for each way of waiting that a run has needed: libgomp reads it once, when torch is imported.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from types import ModuleType

from vigbench.measure.allocation import keeping_memory
from vigbench.measure.waiting import neighbours_per_core, waiting_for
from vigbench.suites.axes import Device
from vigbench.suites.case import Case

# the server begins as `python -c`, which would take a user's types.py for Python's; subjects are found all the same
_SAFE_PATH = {"PYTHONSAFEPATH": "1"}


@lru_cache(maxsize=1)
def context() -> ForkServerContext:
    """What makes pipes and processes; `serving` says which server forks these."""
    return multiprocessing.get_context("forkserver")


@lru_cache(maxsize=8)
def _server(_variables: tuple[tuple[str, str], ...]) -> forkserver.ForkServer:
    """The server whose environment has these variables; it starts when it is first asked for a process."""
    found = forkserver.ForkServer()
    found.set_forkserver_preload(["vigbench.worker.preload"])
    return found


def start() -> None:
    """Let one import, which takes seconds, while this process does something else: the first worker then waits less."""
    variables = variables_of_worker(waiting_for(0.0))
    with _for_workers(variables):
        _server(_key(variables)).ensure_running()


def waiting_of(case: Case) -> dict[str, str]:
    """How the threads of a worker for this case should wait, by the load there is now; one thread waits for none."""
    alone = case.device is not Device.cpu or case.threads == 1
    return waiting_for(0.0 if alone else neighbours_per_core())


def variables_of_worker(waiting: Mapping[str, str]) -> dict[str, str]:
    """What the environment of a worker has beside the user's: how its threads wait, and that it keeps what it frees."""
    return {**keeping_memory(), **waiting}


@contextlib.contextmanager
def serving(variables: Mapping[str, str]) -> Iterator[None]:
    """Processes of `context()` that are started inside are forked from the server with these variables."""
    usual = forkserver.connect_to_new_process
    with _for_workers(variables):
        forkserver.connect_to_new_process = _server(_key(variables)).connect_to_new_process
        try:
            yield
        finally:
            forkserver.connect_to_new_process = usual


def _key(variables: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(variables.items()))


@contextlib.contextmanager
def _for_workers(variables: Mapping[str, str]) -> Iterator[None]:
    """What is started inside has these variables, and does not import the user's script.

    That may call `vigbench.run` outside a `__main__` guard.
    """
    main = sys.modules["__main__"]
    variables = {**variables, **_SAFE_PATH}
    before = {name: os.environ.get(name) for name in variables}
    sys.modules["__main__"] = ModuleType("__main__")
    os.environ.update(variables)
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
