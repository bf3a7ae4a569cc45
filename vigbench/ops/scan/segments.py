"""The sequence in segments small enough for the cache, each direction in its own order, and the scan inside them.

Inside, tensors are (rows, tokens, ...) with a row for each direction and sequence; tokens come in the order of the
row's direction, so that every row is scanned from its first token on.
"""

import torch
from torch import Tensor

CHUNK = 8  # tokens scanned one after another, in all chunks of a segment at once
ELEMENTS = 2**18  # of a state's dtype in a segment, for all rows: more does not stay in a core's cache


class Segments:
    """How a scan over u (directions, batch, length, dim) is cut."""

    def __init__(self, u: Tensor, state: int, reverses: list[bool]) -> None:
        _, self.batch, self.length, dim = u.shape
        self.reverses = reverses
        self.dtype = torch.promote_types(u.dtype, torch.float32)
        fitting = ELEMENTS // max(1, len(reverses) * self.batch * dim * state)
        self.tokens = max(CHUNK, min(8 * CHUNK, fitting // CHUNK * CHUNK))

    def spans(self) -> list[tuple[int, int]]:
        """First token and end of each segment, in the order of a direction."""
        return [(first, min(first + self.tokens, self.length)) for first in range(0, self.length, self.tokens)]

    def load(self, x: Tensor, span: tuple[int, int]) -> Tensor:
        """A segment of (directions, batch, length, ...) as (rows, tokens, ...)."""
        rows = [self._turned(x[n, :, self._places(span, n)], n) for n in range(len(self.reverses))]
        return torch.cat(rows).to(self.dtype)

    def store(self, x: Tensor, span: tuple[int, int], rows: Tensor) -> None:
        """The opposite of `load`."""
        for n, part in enumerate(rows.chunk(len(self.reverses))):
            x[n, :, self._places(span, n)] = self._turned(part, n)

    def add(self, x: Tensor, span: tuple[int, int], rows: Tensor) -> None:
        """Add all directions to (batch, length, ...), each at its own place."""
        for n, part in enumerate(rows.chunk(len(self.reverses))):
            x[:, self._places(span, n)] += self._turned(part, n)

    def by_row(self, x: Tensor) -> Tensor:
        """(directions, ...) as (rows, ...)."""
        return x.to(self.dtype).repeat_interleave(self.batch, dim=0)

    def _places(self, span: tuple[int, int], direction: int) -> slice:
        first, end = span
        return slice(self.length - end, self.length - first) if self.reverses[direction] else slice(first, end)

    def _turned(self, x: Tensor, direction: int) -> Tensor:
        return x.flip(1) if self.reverses[direction] else x


def scan_(decay: Tensor, x: Tensor, state: Tensor) -> Tensor:
    """x_t += decay_t x_(t-1) from `state` on, in place; returns the last. All are (rows, tokens, ...).

    In two levels: inside chunks from empty states, all chunks at once, with the running product of decays (which
    overwrites `decay`); then each chunk gets what enters it times that product. Products of factors <= 1 cannot
    overflow, and nothing is divided.
    """
    whole = x.shape[1] // CHUNK
    if whole:
        d, y = (each[:, : whole * CHUNK].unflatten(1, (whole, CHUNK)) for each in (decay, x))
        for t in range(1, CHUNK):
            y[:, :, t].addcmul_(d[:, :, t], y[:, :, t - 1])
            d[:, :, t].mul_(d[:, :, t - 1])
        for n in range(whole):
            y[:, n].addcmul_(d[:, n], state.unsqueeze(1))
            state = y[:, n, -1]
    for t in range(whole * CHUNK, x.shape[1]):
        x[:, t].addcmul_(decay[:, t], state)
        state = x[:, t]
    return state


def scan_back_(decay: Tensor, x: Tensor, state: Tensor) -> Tensor:
    """x_t += decay_t x_(t+1) from the last token to the first, as `scan_`; returns the first."""
    whole = x.shape[1] // CHUNK
    for t in range(x.shape[1] - 1, whole * CHUNK - 1, -1):
        x[:, t].addcmul_(decay[:, t], state)
        state = x[:, t]
    if whole:
        d, y = (each[:, : whole * CHUNK].unflatten(1, (whole, CHUNK)) for each in (decay, x))
        for t in range(CHUNK - 2, -1, -1):
            y[:, :, t].addcmul_(d[:, :, t], y[:, :, t + 1])
            d[:, :, t].mul_(d[:, :, t + 1])
        for n in range(whole - 1, -1, -1):
            y[:, n].addcmul_(d[:, n], state.unsqueeze(1))
            state = y[:, n, 0]
    return state
