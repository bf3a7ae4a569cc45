"""Norms over channels inside Triton kernels, in float32: RMSNorm, or LayerNorm where rows are `centred`."""

import triton
import triton.language as tl


@triton.jit
def load_rows(data, row, stride, columns, is_row, is_column):
    """(rows, columns) in float32; zero outside."""
    at = data + row[:, None] * stride + columns[None, :]
    return tl.load(at, mask=is_row[:, None] & is_column[None, :], other=0.0).to(tl.float32)


@triton.jit
def load_channels(data, columns, is_column):
    """(1, columns) of a weight in float32; zero outside."""
    return tl.load(data + columns, mask=is_column, other=0.0).to(tl.float32)[None, :]


@triton.jit
def normal_of(x, is_column, eps, dim: tl.constexpr, centred: tl.constexpr):
    """Rows of `dim` channels over their root mean square (standard deviation), and the inverse of that, (rows, 1)."""
    if centred:
        x = tl.where(is_column[None, :], x - (tl.sum(x, 1) / dim)[:, None], 0.0)
    inverse = tl.rsqrt(tl.sum(x * x, 1) / dim + eps)[:, None]
    return x * inverse, inverse


@triton.jit
def normal_gradient(grad, normal, inverse, is_column, dim: tl.constexpr, centred: tl.constexpr):
    """The gradient of rows, from that of `normal_of` them."""
    out = grad - normal * (tl.sum(grad * normal, 1) / dim)[:, None]
    if centred:
        out -= (tl.sum(grad, 1) / dim)[:, None]
    return tl.where(is_column[None, :], out * inverse, 0.0)
