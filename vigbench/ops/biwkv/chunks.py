"""Sequences as rows of chunks, (batch, length, channels) to (token in chunk, chunk, batch, channels), and back."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

EMPTY = -1e300  # log-weight of nothing: finite, so that the difference of two is no NaN
SEGMENT_ELEMENTS = {"cpu": 2**18}  # of a float32 tensor stay in a core's cache
DEFAULT_SEGMENT_ELEMENTS = 2**26  # elsewhere launches cost more than memory


def chunk_size(length: int) -> int:
    """Tokens in a chunk: a power of two near the root of the length, as a pass takes chunk + chunks steps."""
    return 1 << (length - 1).bit_length() // 2


def segments(k: Tensor) -> Iterator[tuple[slice, slice]]:
    """(images, channels) small enough to work on at once; sequences stay whole."""
    batch, length, channels = k.shape
    limit = SEGMENT_ELEMENTS.get(k.device.type, DEFAULT_SEGMENT_ELEMENTS)
    width = max(1, min(channels, limit // length))
    images = max(1, limit // (length * channels))
    for image in range(0, batch, images):
        for channel in range(0, channels, width):
            yield slice(image, image + images), slice(channel, channel + width)


def load(x: Tensor, segment: tuple[slice, slice], fill: float, dtype: torch.dtype) -> Tensor:
    """The segment's rows, tokens after the last one being `fill`."""
    images, channels = segment
    x = x[images, :, channels]
    size = chunk_size(x.shape[1])
    x = F.pad(x.to(dtype), (0, 0, 0, -x.shape[1] % size), value=fill)
    rows: Tensor = x.unflatten(1, (-1, size)).permute(2, 1, 0, 3).contiguous()
    return rows


def store(out: Tensor, segment: tuple[slice, slice], rows: Tensor) -> None:
    """Write back what `load` took."""
    images, channels = segment
    out[images, :, channels] = rows.permute(2, 1, 0, 3).flatten(1, 2)[:, : out.shape[1]]


def positions(rows: Tensor) -> Tensor:
    """Each token's place in its sequence, float64, in the shape of rows."""
    size, chunks = rows.shape[:2]
    place = torch.arange(size * chunks, dtype=torch.float64, device=rows.device)
    return place.view(chunks, size).mT.reshape(size, chunks, 1, 1)
