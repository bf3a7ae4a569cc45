"""Sequences cut into chunks: (batch, length, heads, dim) to (chunk * batch * heads, token, dim), and back."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from vigbench.ops.gla.decay import Direction

CHUNK = 64  # of 16 to 128 the fastest on CPUs: smaller ones spend more on states, larger ones on scores
SEGMENT_ELEMENTS = {"cpu": 2**18}  # of a float32 tensor stay in a core's cache
DEFAULT_SEGMENT_ELEMENTS = 2**26  # elsewhere launches cost more than memory


def chunk_size(length: int) -> int:
    """Tokens in a chunk: a power of two, no larger than a short sequence needs."""
    return min(CHUNK, 1 << (length - 1).bit_length())


class Chunks:
    """The chunks of sequences like `v`, padded with zeros, and segments of them small enough to work on at once."""

    def __init__(self, v: Tensor) -> None:
        self.batch, self.length, self.heads, value_dim = v.shape
        self.rows = self.batch * self.heads
        self.size = chunk_size(self.length)
        self.count = -(-self.length // self.size)
        self.dtype = torch.promote_types(v.dtype, torch.float32)
        limit = SEGMENT_ELEMENTS.get(v.device.type, DEFAULT_SEGMENT_ELEMENTS)
        self.per_segment = max(1, limit // max(1, self.rows * self.size * value_dim))

    def segments(self) -> Iterator[slice]:
        """Ranges of chunks, in order."""
        for start in range(0, self.count, self.per_segment):
            yield slice(start, min(start + self.per_segment, self.count))

    def load(self, x: Tensor, segment: slice) -> Tensor:
        """A contiguous copy of a segment, in the dtype of the computation."""
        n, dim, missing = segment.stop - segment.start, x.shape[-1], segment.stop * self.size - self.length
        tokens = x[:, segment.start * self.size : segment.stop * self.size]
        if missing > 0:
            tokens = F.pad(tokens, (0, 0, 0, 0, 0, missing))
        out = torch.empty(n, self.batch, self.heads, self.size, dim, dtype=self.dtype, device=x.device)
        out.copy_(tokens.view(self.batch, n, self.size, self.heads, dim).permute(1, 0, 3, 2, 4))
        return out.view(n * self.rows, self.size, dim)

    def load_directions(self, g_fwd: Tensor | None, g_bwd: Tensor | None, segment: slice) -> list[Direction]:
        """A segment of the log-decays of each direction there is."""
        gates = ((g_fwd, False), (g_bwd, True))
        return [Direction(self.load(g, segment), reverse) for g, reverse in gates if g is not None]

    def store(self, out: Tensor, segment: slice, x: Tensor) -> None:
        """Put a segment where it belongs in a tensor like the original, without the padding."""
        n, dim = segment.stop - segment.start, x.shape[-1]
        chunks = x.view(n, self.batch, self.heads, self.size, dim).permute(1, 0, 3, 2, 4)
        target = out[:, segment.start * self.size : segment.stop * self.size]
        target.copy_(chunks.reshape(self.batch, n * self.size, self.heads, dim)[:, : target.shape[1]])
