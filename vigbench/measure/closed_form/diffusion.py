"""Diffusion models on latents: an eighth of the image's side, four channels, noise and variances out."""

from typing import NamedTuple

from vigbench.measure.closed_form.products import (
    conv,
    depthwise,
    formulas,
    linear,
    mlp,
    round_up,
    self_attention,
)

CHANNELS = 4
KEY_DIM, VALUE_DIM, RANK = 32, 64, 16  # of a head of gated linear attention; of its gates


class DenoiserShape(NamedTuple):
    """Width, blocks and side of a patch."""

    dim: int
    depth: int
    patch: int = 2


def _around(shape: DenoiserShape, tokens: int) -> int:
    """Patches, condition and final layer. Scales, shifts and gates are computed once for an image, not for a token."""
    dim, pixels = shape.dim, shape.patch**2
    condition = linear(1, 256, dim) + linear(1, dim, dim) + shape.depth * linear(1, dim, 6 * dim)
    final = linear(1, dim, 2 * dim) + linear(tokens, dim, pixels * 2 * CHANNELS)
    return conv(tokens, CHANNELS, dim, shape.patch) + condition + final


def _tokens(shape: DenoiserShape, resolution: int) -> int | None:
    """None where patches do not divide the latents."""
    side, left = divmod(resolution, 8 * shape.patch)
    return None if left else side**2


def _dit(shape: DenoiserShape, resolution: int) -> int | None:
    """arXiv 2212.09748, table 1 and figure 3 (adaLN-Zero)."""
    if (tokens := _tokens(shape, resolution)) is None:
        return None
    block = self_attention(tokens, tokens, shape.dim) + mlp(tokens, shape.dim, 4 * shape.dim)
    return _around(shape, tokens) + shape.depth * block


def _dig(shape: DenoiserShape, resolution: int) -> int | None:
    """arXiv 2405.18428, section 3; widths as released. One direction of GLA is 3 L H K V, and H V is the width."""
    if (tokens := _tokens(shape, resolution)) is None:
        return None
    dim = shape.dim
    keys = dim * KEY_DIM // VALUE_DIM
    projections = 2 * linear(tokens, dim, keys) + 3 * linear(tokens, dim, dim)  # q, k; v, output gate, output
    gates = linear(tokens, dim, RANK) + linear(tokens, RANK, keys)
    swiglu = 3 * linear(tokens, dim, round_up(8 * dim // 3, 256))
    block = projections + gates + 3 * tokens * dim * KEY_DIM + swiglu + depthwise(tokens, dim, 3)
    return _around(shape, tokens) + shape.depth * block


_SIZES = {"small": (384, 12), "base": (768, 12), "large": (1024, 24), "xlarge": (1152, 28)}

_DIT = {
    f"dit_{size}_patch{patch}": DenoiserShape(*shape, patch) for size, shape in _SIZES.items() for patch in (2, 4, 8)
}

_DIG = {f"dig_{size}_patch2": DenoiserShape(*shape) for size, shape in _SIZES.items()}

FORMULAS = formulas(_dit, _DIT) | formulas(_dig, _DIG)
