"""DiG, diffusion on gated linear attention in one direction (arXiv 2405.18428), as released (hustvl/DiG)."""

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch.nn.functional as F
from torch import Tensor, nn

from vigbench.models.diffusion.transformer import (
    Block,
    DiffusionConfig,
    DiffusionTransformer,
    diffusion_cfgs,
    register_all,
)
from vigbench.models.layers.gla import GatedLinearAttention
from vigbench.models.mixers.gated_linear_attention import RMS_EPS
from vigbench.models.model import liken_keys
from vigbench.models.vig import SwiGLU, swiglu_dim
from vigbench.nearest import one_of

ScanOrder = Literal["released", "raster"]
SCAN_ORDERS: tuple[str, ...] = get_args(ScanOrder)


class Scan(NamedTuple):
    """In which order a block reads the grid: column by column or row by row, from the end or from the start."""

    columns: bool = False
    reverse: bool = False


SCANS = (Scan(), Scan(reverse=True), Scan(columns=True), Scan(columns=True, reverse=True))  # of block i mod 4


@dataclass(frozen=True, kw_only=True)
class DiGConfig(DiffusionConfig):
    """`scan_order`: "released" permutes the tokens after each block, "raster" leaves them and turns what reads them."""

    scan_order: ScanOrder = "released"


class DiGBlock(Block):
    """The block of DiG: its tokens lie in raster order and are read in that of `scan`, by the convolution, too.

    The convolution is the paper's spatial reorient and enhancement module, without a residual.
    """

    attn: GatedLinearAttention

    def __init__(self, config: DiGConfig, scan: Scan) -> None:
        dim = config.embed_dim
        mixer = GatedLinearAttention(dim, config.num_heads, dim // 2, RMS_EPS)
        super().__init__(dim, mixer, SwiGLU(dim, swiglu_dim(dim, multiple=256)))
        self.scan = scan
        self.dw_conv = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        x = super().forward(x, condition).permute(0, 3, 1, 2)
        conv, weight = self.dw_conv, self.turned_weight()
        return F.conv2d(x, weight, conv.bias, padding=1, groups=conv.groups).permute(0, 2, 3, 1)

    def mix(self, x: Tensor) -> Tensor:
        scanned = x.transpose(1, 2) if self.scan.columns else x
        out = self.attn(scanned.flatten(1, 2), self.scan.reverse).view(scanned.shape)
        return out.transpose(1, 2) if self.scan.columns else out  # type: ignore[no-any-return]

    def turned_weight(self) -> Tensor:
        """The convolution's kernel as it lies on the grid in raster order."""
        weight: Tensor = self.dw_conv.weight
        weight = weight.mT if self.scan.columns else weight
        return weight.flip(2, 3) if self.scan.reverse else weight


class DiG(DiffusionTransformer):
    """Blocks that read the grid by rows and columns, from either end, in turns of four."""

    operator: str = "gla"

    def __init__(self, config: DiGConfig) -> None:
        if config.scan_order not in SCAN_ORDERS:
            raise ValueError(f"unknown scan_order {config.scan_order!r}: choose {one_of(SCAN_ORDERS)}")
        if config.depth % len(SCANS):
            raise ValueError(f"depth is {config.depth}: DiG's blocks scan in turns of {len(SCANS)}, choose a multiple")
        super().__init__(config)
        self.permutes = config.scan_order == "released"

    def make_block(self, config: DiGConfig, layer: int) -> DiGBlock:
        return DiGBlock(config, Scan() if config.scan_order == "released" else SCANS[layer % len(SCANS)])

    def forward_blocks(self, x: Tensor, condition: Tensor) -> Tensor:
        for layer, block in enumerate(self.blocks):
            x = self.run_block(block, x, condition)
            if self.permutes:
                x = reoriented(x, layer)
        return x

    def settle_weights(self) -> None:
        for block in self.blocks:
            assert isinstance(block, DiGBlock)
            liken_keys(block.attn.q_proj, block.attn.k_proj)

    def init_weights(self) -> None:
        super().init_weights()
        for block in self.blocks:
            assert isinstance(block, DiGBlock)
            block.attn.init_weights()
            nn.init.dirac_(block.dw_conv.weight, groups=self.embed_dim)
            assert block.dw_conv.bias is not None
            nn.init.zeros_(block.dw_conv.bias)


def reoriented(x: Tensor, layer: int) -> Tensor:
    """What goes into the block after `layer`, as released: tokens flipped, and after every second the grid transposed.

    Each is a copy. After a multiple of four blocks tokens lie in raster order again.
    """
    x = x.flip(1, 2)
    return x.transpose(1, 2).contiguous() if layer % 2 else x


CONFIGS = {  # GMACs at 256 px: 5.60, 22.1, 79.9, 115.5
    "dig_small_patch2": DiGConfig(embed_dim=384, depth=12, num_heads=6),
    "dig_base_patch2": DiGConfig(embed_dim=768, depth=12, num_heads=12),
    "dig_large_patch2": DiGConfig(embed_dim=1024, depth=24, num_heads=16),
    "dig_xlarge_patch2": DiGConfig(embed_dim=1152, depth=28, num_heads=18),
}
default_cfgs = diffusion_cfgs(CONFIGS)
register_all(DiG, CONFIGS)
