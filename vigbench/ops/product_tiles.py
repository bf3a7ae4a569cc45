"""Products inside Triton kernels whose result is wider than one tile: a tuple of parts, side by side."""

import triton
import triton.language as tl

PARTS = 4  # at most
SMALLEST_BLOCK = 16  # a side of the smallest tensor-core product


@triton.jit
def span(first, size: tl.constexpr):
    """Numbers from `first` on."""
    return first + tl.arange(0, size)


@triton.jit
def replaced(parts, n: tl.constexpr, part):
    """A tuple of PARTS with another part at place `n`."""
    if n == 0:
        out = (part, parts[1], parts[2], parts[3])
    elif n == 1:
        out = (parts[0], part, parts[2], parts[3])
    elif n == 2:
        out = (parts[0], parts[1], part, parts[3])
    else:
        out = (parts[0], parts[1], parts[2], part)
    return out


@triton.jit
def load_factor(weight, rows, height: tl.constexpr, columns, is_column, width: tl.constexpr, even: tl.constexpr):
    """A (columns, rows) tile of a contiguous (height, width) weight: the right factor of a product with its transpose.

    With `even` all of the tile is inside, and nothing is masked.
    """
    at = weight + rows[None, :] * width + columns[:, None]
    return tl.load(at) if even else tl.load(at, mask=is_column[:, None] & (rows < height)[None, :], other=0.0)
