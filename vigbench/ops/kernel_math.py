"""What Triton kernels share: zeros, loads in float32, and the step from powers of e to those of 2."""

import triton
import triton.language as tl

LOG2_E = tl.constexpr(1.4426950408889634)


@triton.jit
def zeros_row(columns: tl.constexpr):
    """(columns) in float32. Triton up to 3.6 takes sizes out of a constant tuple only as arguments."""
    return tl.zeros((columns,), dtype=tl.float32)


@triton.jit
def zeros(rows: tl.constexpr, columns: tl.constexpr):
    """(rows, columns) in float32."""
    return tl.zeros((rows, columns), dtype=tl.float32)


@triton.jit
def zeros_block(depth: tl.constexpr, rows: tl.constexpr, columns: tl.constexpr):
    """(depth, rows, columns) in float32."""
    return tl.zeros((depth, rows, columns), dtype=tl.float32)


@triton.jit
def load_float32(data, at, mask):
    """In the shape of `at`; zero outside the mask."""
    return tl.load(data + at, mask=mask, other=0.0).to(tl.float32)
