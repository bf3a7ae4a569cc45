"""Queries and keys inside a kernel: as given, or exponentials exp(x - maximum), as `vigbench.ops.regla` has them."""

from typing import NamedTuple

import triton
import triton.language as tl
from torch import Tensor

from vigbench.ops.gla.kernels.tiles import GlaView, add_tile, at_tile, load_row, load_tile, view
from vigbench.ops.kernel_math import LOG2_E


class Exponentials(NamedTuple):
    """Queries or keys that are exp(x - maxima) of what is given.

    `x` is (batch, length, heads, key_dim), `maxima` float32, (batch, length, heads, 2), or (batch, 1, heads, 2) for all
    tokens of a head. Only their first channel is read: one alone would have strides of 1, which Triton does not take.
    """

    x: Tensor
    maxima: Tensor


Features = Tensor | Exponentials


class ExponentialView(NamedTuple):
    """The same as kernels see it; a maximum of all tokens has a stride of 0 over them."""

    x: GlaView
    maxima: GlaView


def given(x: Features) -> Tensor:
    """What features are taken of, or they themselves."""
    return x.x if isinstance(x, Exponentials) else x


def feature_view(x: Features) -> GlaView | ExponentialView:
    """`x` as kernels take it."""
    return ExponentialView(view(x.x), view(x.maxima)) if isinstance(x, Exponentials) else view(x)


@triton.jit
def load_features(x, at, channels, variant: tl.constexpr):
    """(rows, channels) as stored, or exponentials in float32; zero where a channel is not below key_dim."""
    if variant.exponential:
        mask = at.valid[:, None] & (channels < variant.key_dim)[None, :]
        tile = tl.load(at_tile(x.x, at, channels), mask=mask, other=-float("inf")).to(tl.float32)
        first = x.maxima.data + at.batch * x.maxima.batch + at.head * x.maxima.head + at.start * x.maxima.token
        maxima = tl.load(first + at.rows * x.maxima.token, mask=at.valid, other=0.0)
        tile = tl.exp2((tile - maxima[:, None]) * LOG2_E)
    else:
        tile = load_tile(x, at, channels, variant.key_dim)
    return tile


@triton.jit
def load_feature_row(x, at, row, channels, variant: tl.constexpr):
    """The channels of token `start + row` in float32, zero beyond the sequence."""
    if variant.exponential:
        first = x.x.data + at.batch * x.x.batch + at.head * x.x.head + at.start * x.x.token
        inside = row < (at.length - at.start).to(tl.int32)
        mask = channels < tl.where(inside, variant.key_dim, 0)
        values = tl.load(first + (row * x.x.token + channels), mask=mask, other=-float("inf")).to(tl.float32)
        maximum = load_row(x.maxima, at, row, tl.arange(0, 1), 1)
        values = tl.exp2((values - maximum) * LOG2_E)
    else:
        values = load_row(x, at, row, channels, variant.key_dim)
    return values


@triton.jit
def store_feature_gradient(dx, grad, x, at, channels, variant: tl.constexpr, adds: tl.constexpr):
    """From the gradient of features, (rows, channels), that of what they were taken of, but for the share of maxima.

    Written where `load_features` would read, or added to what is there.
    """
    if variant.exponential:
        grad *= load_features(x, at, channels, variant)
    add_tile(dx, at, channels, variant.key_dim, grad, adds)
