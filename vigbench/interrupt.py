"""Ctrl-C in two steps: the first ends the run after the current case, the second ends it now."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

NOTICE = "Finishing this case, then stopping; press Ctrl-C again to stop now."
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def _print_notice() -> None:
    # not print(): the signal may have come in the middle of one, and streams are not reentrant
    with contextlib.suppress(OSError):
        os.write(2, f"{NOTICE}\n".encode())


class StopRequest:
    """While it is entered, the first SIGINT or SIGTERM sets `requested`, and the second raises KeyboardInterrupt.

    A signal that was ignored before (a background job's, or nohup's) stays ignored. Outside the main thread, where
    Python allows no handlers, it does nothing. On leaving, the former handlers are back; `requested` stays.

    Args:
        on_request: called, in the handler, at the first signal; by default prints `NOTICE` to stderr.
    """

    def __init__(self, on_request: Callable[[], None] = _print_notice) -> None:
        self.requested = False
        self._on_request = on_request
        self._former: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._former[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._former.items():
            # None: a handler that was not installed from Python, and cannot be put back from there
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        self._on_request()
