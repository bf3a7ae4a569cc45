"""A pytest plug-in for a GPU session: failures are written as they happen, and a broken device costs one process.

    python -m pytest -p tests.gpu.session.failures --failures FILE ...

Args:
    --failures: the file that takes one JSON object for each failure, from all of xdist's processes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gpu.session.summary import failure_line
from vigbench.records.files import append_line

ERROR_LINES = 5
HEAD, TAIL = 3000, 1000  # characters of a traceback that are kept
GONE = "The CUDA device is gone: it was there when the session began. See nvidia-smi and the kernel's log (Xid)."
ENDED = (
    "the process ended in this test: a crash, a test over its time, or a device broken by it; the rest ran in another"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--failures", type=Path, required=True, help="File that takes failures as they happen.")


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        config.pluginmanager.register(Guard())
    else:  # the process that the others report to hears of every failure
        config.pluginmanager.register(Writer(config.getoption("--failures")))


class Writer:
    """Writes what failed, and at the end what was still running."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._running: dict[str, None] = {}

    def _write(self, id_: str, error: str, **more: object) -> None:
        append_line(self._file, failure_line(id_, error, **more))

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._running[nodeid] = None

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._running.pop(nodeid, None)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not report.failed:
            return
        crash, text = getattr(report.longrepr, "reprcrash", None), str(report.longrepr)
        if report.when not in ("setup", "call", "teardown"):  # xdist's report of a process that is gone
            self._running.pop(report.nodeid, None)
            self._write(report.nodeid, ENDED)
            return
        error = "\n".join((crash.message if crash else text).splitlines()[:ERROR_LINES])
        seconds = round(report.duration, 2)
        self._write(report.nodeid, error, when=report.when, seconds=seconds, traceback=_shortened(text))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            text = str(report.longrepr)
            self._write(report.nodeid, text.strip().splitlines()[-1], when="collect", traceback=_shortened(text))

    def pytest_keyboard_interrupt(self) -> None:
        for nodeid in self._running:
            self._write(nodeid, "it was running when the tests were stopped")


class Guard:
    """In the processes that run tests: no test passes, and none is skipped, for want of a device."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Iterator[None]:
        if item.get_closest_marker("gpu"):
            import torch

            if not torch.cuda.is_available():
                pytest.fail(GONE, pytrace=False)
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self) -> Iterator[None]:
        result = yield
        if device_is_broken():
            # after an illegal access every later call of this process fails; xdist starts another one in its place
            sys.stderr.flush()
            os._exit(1)
        return result


def device_is_broken() -> bool:
    """Whether this process can no longer use its device; waits for what is queued there."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return False
    try:
        torch.cuda.synchronize()
    except RuntimeError:
        return True
    return False


def _shortened(text: str) -> str:
    return text if len(text) <= HEAD + TAIL else f"{text[:HEAD]}\n...\n{text[-TAIL:]}"
