"""Each part of GLIMS beside a plain statement of what it is, voxel by voxel where that says more, in float64."""

import itertools
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from vigbench.models.volumes.convolution import ConvUnit, DecoderLevel, DilatedBlock, EncoderLevel, SkipGate
from vigbench.models.volumes.windows import CornerMerging, TokenExpansion, WindowBlock, WindowLayout
from vigbench.subjects.catalog import fill_weights

EPS = 1e-5
SIDES = (5, 4, 6)


def filled(module: nn.Module) -> nn.Module:
    fill_weights(module, 0)
    return module.double().eval()


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def assert_same(found: Tensor, expected: Tensor) -> None:
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) <= 1e-12 * max(1.0, float(expected.abs().max()))


def normed(x: Tensor, over: Sequence[int]) -> Tensor:
    centred = x - x.mean(over, keepdim=True)
    return centred / (centred.square().mean(over, keepdim=True) + EPS).sqrt()


def prelu(x: Tensor, slope: Tensor) -> Tensor:
    return torch.where(x >= 0, x, slope * x)


def of_volume(x: Tensor) -> Tensor:
    """Instance norm: the statistics of each channel's own volume."""
    return normed(x, (2, 3, 4))


def of_channels(x: Tensor, norm: nn.LayerNorm) -> Tensor:
    return normed(x, (-1,)) * norm.weight + norm.bias


def pointwise(x: Tensor, conv: nn.Module) -> Tensor:
    weight, bias = conv.weight, conv.bias
    assert isinstance(weight, Tensor)
    assert isinstance(bias, Tensor)
    return torch.einsum("oc,bcdhw->bodhw", weight[:, :, 0, 0, 0], x) + bias.view(-1, 1, 1, 1)


def depthwise(x: Tensor, conv: nn.Conv3d, dilation: int) -> Tensor:
    """The sum over 27 neighbours, each `dilation` voxels away along a side; beyond the border are zeros."""
    assert conv.bias is not None
    d, h, w = x.shape[2:]
    out = conv.bias.view(-1, 1, 1, 1) + torch.zeros_like(x)
    for i, j, k in itertools.product(range(3), repeat=3):
        for z, y in itertools.product(range(d), range(h)):
            for column in range(w):
                at = (z + (i - 1) * dilation, y + (j - 1) * dilation, column + (k - 1) * dilation)
                if all(0 <= place < side for place, side in zip(at, (d, h, w), strict=True)):
                    out[:, :, z, y, column] += conv.weight[:, 0, i, j, k] * x[:, :, at[0], at[1], at[2]]
    return out


def unit(x: Tensor, module: nn.Module) -> Tensor:
    return prelu(of_volume(x), module.get_parameter("adn.A.weight"))


@torch.no_grad()
def test_a_unit_is_a_convolution_a_norm_and_a_slope() -> None:
    module = filled(ConvUnit(nn.Conv3d(3, 5, 1)))
    x = normal(2, 3, *SIDES)
    assert_same(module(x), unit(pointwise(x, module.get_submodule("conv")), module))
    assert_same(module.train()(x[:1]), module.eval()(x)[:1])


@torch.no_grad()
def test_a_dilated_block_has_three_branches_side_by_side_and_a_residual() -> None:
    module = filled(DilatedBlock(4, "reference"))
    x, branches = normal(2, 4, 7, 6, 8), []
    for dilation, name in enumerate(("conv_3x3", "conv_3x3_dil", "conv_3x3_dil2"), 1):
        branch = module.get_submodule(name)
        y = of_volume(depthwise(x, branch.get_submodule("conv"), dilation))  # type: ignore[arg-type]
        weight, bias = (branch.get_parameter(f"norm.{one}").view(-1, 1, 1, 1) for one in ("weight", "bias"))
        branches.append(prelu(y * weight + bias, branch.get_parameter("prelu.weight")))
    y = torch.cat(branches, 1)
    for name in ("conv_1x1", "conv_1x1_2"):
        y = unit(pointwise(y, module.get_submodule(f"{name}.conv")), module.get_submodule(name))
    assert_same(module(x), prelu(of_volume(y + x), module.get_parameter("prelu2.weight")))


@torch.no_grad()
def test_levels_halve_and_double() -> None:
    down, up = filled(EncoderLevel(4, "reference")), filled(DecoderLevel(4, "reference"))
    x = normal(1, 4, 4, 6, 8)
    skip, below = down(x)
    blocks = [down.get_submodule("l1"), down.get_submodule("l2")]
    assert_same(skip, blocks[1](blocks[0](x)))
    conv = down.get_submodule("ds.conv_3x3.conv")
    corners = skip.view(1, 4, 2, 2, 3, 2, 4, 2)
    halved = torch.einsum("ocijk,bcdihjwk->bodhw", conv.weight, corners) + conv.bias.view(-1, 1, 1, 1)  # type: ignore[operator, union-attr]
    assert_same(below, unit(halved, down.get_submodule("ds.conv_3x3")))
    conv = up.get_submodule("up.convT.conv")
    doubled = torch.einsum("coijk,bcdhw->bodihjwk", conv.weight, below).reshape(1, 4, 4, 6, 8)
    doubled = unit(doubled + conv.bias.view(-1, 1, 1, 1), up.get_submodule("up.convT"))  # type: ignore[operator, union-attr]
    y = unit(pointwise(torch.cat([doubled, skip], 1), up.get_submodule("conv1x1.conv")), up.get_submodule("conv1x1"))
    assert_same(up(below, skip), up.get_submodule("l2")(up.get_submodule("l1")(y)))


@pytest.mark.parametrize("mode", ["skipped", "released"])
@torch.no_grad()
def test_a_skip_is_gated_by_channel_and_by_one_number(mode: str) -> None:
    module = filled(SkipGate(6, mode))  # type: ignore[arg-type]
    x, mlp = normal(2, 6, *SIDES), module.get_submodule("ChannelGate.mlp")
    scores = torch.zeros(2, 6, dtype=torch.float64)
    for pooled in (x.flatten(2).mean(2), x.flatten(2).max(2).values):
        hidden = (pooled @ mlp.get_parameter("1.weight").T + mlp.get_parameter("1.bias")).clamp_min(0)
        scores = scores + hidden @ mlp.get_parameter("3.weight").T + mlp.get_parameter("3.bias")
    spatial = module.get_submodule("SpatialGate.spatial")
    number = prelu(spatial.get_parameter("norm.bias"), spatial.get_parameter("prelu.weight"))
    assert_same(module(x), x * scores.sigmoid()[:, :, None, None, None] * number.sigmoid())


def attended(module: nn.Module, x: Tensor, shifted: bool) -> Tensor:
    """One window after the other; a token is a place in the padded volume, moved by the shift."""
    grid = x.shape[1:4]
    window = [min(7, side) for side in grid]
    shift = [3 if shifted and side > 7 else 0 for side in grid]
    padded = [-(-side // by) * by for side, by in zip(grid, window, strict=True)]
    heads, table = x.shape[-1] // 32, module.get_parameter("relative_position_bias_table")
    full = list(itertools.product(range(7), repeat=3))
    out = torch.zeros_like(x)
    qkv = (module.get_parameter(f"qkv.{one}") for one in ("weight", "bias"))
    proj = [module.get_parameter(f"proj.{one}") for one in ("weight", "bias")]
    weight, bias = qkv
    for first in itertools.product(*(range(0, side, by) for side, by in zip(padded, window, strict=True))):
        inside = list(itertools.product(*(range(a, a + by) for a, by in zip(first, window, strict=True))))
        moved = [[p + by for p, by in zip(one, shift, strict=True)] for one in inside]
        wrapped = torch.tensor([[p >= side for p, side in zip(one, padded, strict=True)] for one in moved])
        places = [tuple(p % side for p, side in zip(one, padded, strict=True)) for one in moved]
        real = [all(p < side for p, side in zip(one, grid, strict=True)) for one in places]
        tokens = torch.stack(
            [
                x[:, a, b, c] if here else torch.zeros_like(x[:, 0, 0, 0])
                for (a, b, c), here in zip(places, real, strict=True)
            ],
            1,
        )
        q, k, v = (tokens @ weight.T + bias).chunk(3, -1)
        # the i-th token of any window has the bias of a full one's i-th
        rows = torch.tensor(
            [
                [
                    sum((p - o + 6) * 13**n for p, o, n in zip(full[i], full[j], (2, 1, 0), strict=True))
                    for j in range(len(inside))
                ]
                for i in range(len(inside))
            ]
        )
        across = (wrapped[:, None] != wrapped[None]).any(-1) * -100.0
        result = []
        for head in range(heads):
            part = slice(32 * head, 32 * head + 32)
            scores = q[..., part] @ k[..., part].mT / 32**0.5 + table[rows, head] + across
            result.append(scores.softmax(-1) @ v[..., part])
        found = torch.cat(result, -1) @ proj[0].T + proj[1]
        for number, ((a, b, c), here) in enumerate(zip(places, real, strict=True)):
            if here:
                out[:, a, b, c] = found[:, number]
    return out


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("grid", [(3, 3, 3), (8, 4, 10), (2, 7, 9)])
@pytest.mark.parametrize("fused", [False, True])
@torch.no_grad()
def test_windows_attend_within_themselves(grid: tuple[int, int, int], shifted: bool, fused: bool) -> None:
    module = filled(WindowBlock(64, shifted))
    module.attn.relative_position_bias_table.uniform_(-1, 1, generator=torch.Generator().manual_seed(2))
    module.attn.fused_attn = fused
    x = normal(2, *grid, 64)
    y = x + attended(module.get_submodule("attn"), of_channels(x, module.norm1), shifted)  # type: ignore[arg-type]
    mlp = module.get_submodule("mlp")
    hidden = of_channels(y, module.norm2) @ mlp.get_parameter("linear1.weight").T + mlp.get_parameter("linear1.bias")  # type: ignore[arg-type]
    hidden = prelu(hidden, mlp.get_parameter("fn.weight"))
    expected = y + hidden @ mlp.get_parameter("linear2.weight").T + mlp.get_parameter("linear2.bias")
    assert_same(module(x, WindowLayout.of(grid, True).seams(x)), expected)


@torch.no_grad()
def test_corners_are_merged_as_released() -> None:
    module, x = filled(CornerMerging(8)), normal(2, 4, 6, 2, 8)
    order = ["000", "100", "010", "001", "101", "010", "001", "111"]
    expected = torch.zeros(2, 2, 3, 1, 16, dtype=torch.float64)
    for d, h, w in itertools.product(range(2), range(3), range(1)):
        corners = [x[:, 2 * d + int(c[0]), 2 * h + int(c[1]), 2 * w + int(c[2])] for c in order]
        token = of_channels(torch.cat(corners, -1), module.get_submodule("norm"))  # type: ignore[arg-type]
        expected[:, d, h, w] = token @ module.get_parameter("reduction.weight").T
    assert_same(module(x), expected)


@torch.no_grad()
def test_a_token_s_parts_lie_as_height_width_depth() -> None:
    module, x = filled(TokenExpansion(8)), normal(2, 2, 3, 4, 8)
    parts = x @ module.get_parameter("expand.weight").T
    expected = torch.zeros(2, 4, 6, 8, 4, dtype=torch.float64)
    for d, h, w in itertools.product(range(4), range(6), range(8)):
        number = (h % 2) * 4 + (w % 2) * 2 + d % 2
        expected[:, d, h, w] = parts[:, d // 2, h // 2, w // 2, 4 * number : 4 * number + 4]
    assert_same(module(x), of_channels(expected, module.get_submodule("norm_layer")))  # type: ignore[arg-type]
