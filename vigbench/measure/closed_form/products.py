"""The products that architectures are made of, in multiply-adds. Biases, norms and activations count nothing."""

from collections.abc import Callable, Mapping
from functools import partial
from math import prod
from typing import TypeVar

from vigbench.suites.shape import Shape

Formula = Callable[[int], int | None]
"""Multiply-adds at a resolution; None if the model does not take it."""

Sides = tuple[int, int, int]
"""Depth, height and width of a volume, or of a grid inside a network."""

VolumeFormula = Callable[[Sides], int | None]
"""Multiply-adds of a volume; None if the network does not take it."""

Config = TypeVar("Config")

CLASSES = 1000


def formulas(macs: Callable[[Config, int], int | None], configs: Mapping[str, Config]) -> dict[str, Formula]:
    """The formula of each model of an architecture: `macs` is a function of configuration and resolution."""
    return {name: partial(macs, config) for name, config in configs.items()}


def linear(tokens: int, inputs: int, outputs: int) -> int:
    """A linear layer, or a 1x1 convolution: one multiply-add for each token, input and output."""
    return tokens * inputs * outputs


def mlp(tokens: int, dim: int, hidden: int) -> int:
    """To the hidden width and back."""
    return 2 * linear(tokens, dim, hidden)


def conv(pixels: int, inputs: int, outputs: int, kernel: int, groups: int = 1) -> int:
    """A square convolution that gives `pixels`; its padding counts like any other input."""
    return pixels * (inputs // groups) * outputs * kernel**2


def depthwise(pixels: int, channels: int, kernel: int) -> int:
    """A convolution of each channel by itself."""
    return conv(pixels, channels, channels, kernel, groups=channels)


def conv3d(voxels: int, inputs: int, outputs: int, kernel: int, groups: int = 1) -> int:
    """A cubic convolution that gives `voxels`, or a transposed one that takes them."""
    return voxels * (inputs // groups) * outputs * kernel**3


def attention(queries: int, keys: int, dim: int) -> int:
    """Scores and weighted sum, all heads together; `keys` are those that one query sees."""
    return 2 * queries * keys * dim


def self_attention(tokens: int, keys: int, dim: int) -> int:
    """The projections to queries, keys, values and output, and the two products."""
    return linear(tokens, dim, 4 * dim) + attention(tokens, keys, dim)


def gla_scan(length: int, shape: Shape) -> int:
    """Decay, outer product and read of a K x V state for each token and head; the same where a head has one decay."""
    return 3 * length * shape.heads * shape.key_dim * shape.value_dim


def gsa_scan(length: int, shape: Shape, slots: int) -> int:
    """The same of two states, slots of keys and slots of values (arXiv 2409.07146, section 3)."""
    return 3 * length * shape.heads * slots * (shape.key_dim + shape.value_dim)


def ssd_scan(length: int, shape: Shape) -> int:
    """The same with N x P for K x V, and dt a once, dt x and d x once a channel (arXiv 2405.21060, section 2)."""
    return gla_scan(length, shape) + length * shape.heads * (2 * shape.value_dim + 1)


def ceil_div(side: int, stride: int) -> int:
    """Side after a convolution or pooling of odd kernel k padded by k // 2, or after padding to whole patches."""
    return -(-side // stride)


def round_up(number: int, multiple: int) -> int:
    """The next multiple."""
    return ceil_div(number, multiple) * multiple


def voxels_of(sides: Sides, stride: int = 1) -> int:
    """How many voxels are left after that stride, which divides the sides."""
    return prod(side // stride for side in sides)


def takes(sides: Sides, stride: int, fewest: int = 1) -> bool:
    """Whether `stride` divides each side and leaves `fewest` voxels, 2 where InstanceNorm has to find a variance."""
    return all(side % stride == 0 for side in sides) and voxels_of(sides, stride) >= fewest
