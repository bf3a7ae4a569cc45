"""Says how far an iteration of many passes has come, to whoever listens: such a one can take minutes."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

EVERY_S = 1.0  # a message is far below a thousandth of it

Listener = Callable[[str], None]
_listener: Listener | None = None


def listen(listener: Listener | None) -> None:
    """Who is told from now on, in a few words; None: nobody."""
    global _listener
    _listener = listener


class PassProgress:
    """Of one iteration; tells at most once a second.

    Args:
        what: is counted, as `windows`.
        of: how many there are.
    """

    def __init__(self, what: str, of: int) -> None:
        self.what, self.of, self.done = what, of, 0
        self._next = monotonic() + EVERY_S

    def advance(self, count: int) -> None:
        """So many more are under way."""
        if _listener is not None and self.done and monotonic() >= self._next:
            _listener(f"{self.done} of {self.of} {self.what}")
            self._next = monotonic() + EVERY_S
        self.done += count
