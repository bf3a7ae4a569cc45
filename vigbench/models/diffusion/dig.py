"""DiG, diffusion on gated linear attention in one direction (arXiv 2405.18428), as released (hustvl/DiG)."""

from dataclasses import dataclass
from typing import Literal, NamedTuple, cast, get_args

import torch.nn.functional as F
from torch import Tensor, nn

from vigbench.models.backbone import RMSNorm
from vigbench.models.diffusion.transformer import (
    Block,
    DiffusionConfig,
    DiffusionTransformer,
    diffusion_cfgs,
    register_all,
)
from vigbench.models.mixers.gated_linear_attention import GATE_LOGIT_NORMALIZER, GATE_RANK, RELEASED_GAIN, RMS_EPS
from vigbench.models.model import TokenMixer, liken_keys
from vigbench.models.vig import SwiGLU, swiglu_dim
from vigbench.nearest import one_of
from vigbench.ops.gated_norm import FUSED_WITH
from vigbench.ops.gla import gla_low_rank, selected_implementation
from vigbench.ops.norm_swish_gate import norm_swish_gate

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


class GatedLinearAttention(TokenMixer):
    """GLA in one direction with an output gate: (batch, tokens, dim) to the same.

    `key_dim` is that of all heads together, by default half of `dim`; `eps` that of the norm.
    """

    def __init__(self, dim: int, num_heads: int, key_dim: int | None = None, eps: float = RMS_EPS) -> None:
        super().__init__()
        key_dim = dim // 2 if key_dim is None else key_dim
        self.num_heads = num_heads
        self.q_proj = nn.Linear(dim, key_dim, bias=False)
        self.k_proj = nn.Linear(dim, key_dim, bias=False)
        self.v_proj = nn.Linear(dim, dim, bias=False)
        self.g_proj = nn.Linear(dim, dim, bias=False)
        self.gk_proj = nn.Sequential(nn.Linear(dim, GATE_RANK, bias=False), nn.Linear(GATE_RANK, key_dim))
        self.g_norm_swish_gate = RMSNorm(dim // num_heads, eps=eps)
        self.o_proj = nn.Linear(dim, dim, bias=False)

    def forward(self, x: Tensor, reverse: bool = False) -> Tensor:
        q, k, v, gate = (self._heads(layer(x)) for layer in (self.q_proj, self.k_proj, self.v_proj, self.g_proj))
        low_rank, logits = self.gk_proj[0](x), cast("nn.Linear", self.gk_proj[1])
        weight, bias = (p.view(self.num_heads, -1, *p.shape[1:]) for p in (logits.weight, logits.bias))
        implementation = selected_implementation(self.implementation, q, k, v, low_rank, weight, bias)
        gates = low_rank, weight, bias, GATE_LOGIT_NORMALIZER
        o: Tensor = gla_low_rank(q, k, v, *gates, reverse=reverse, implementation=implementation)
        norm = self.g_norm_swish_gate
        o = norm_swish_gate(o, gate, norm.weight, norm.eps or 0.0, fused=implementation in FUSED_WITH)
        return self.o_proj(o.flatten(-2))  # type: ignore[no-any-return]

    def _heads(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:-1], self.num_heads, x.shape[-1] // self.num_heads)

    def init_weights(self) -> None:
        """The released initialisation."""
        for layer in (self.q_proj, self.k_proj, self.v_proj, self.g_proj, self.o_proj, *self.gk_proj):
            nn.init.xavier_uniform_(layer.weight, gain=RELEASED_GAIN)


class DiGBlock(Block):
    """The block of DiG: its tokens lie in raster order and are read in that of `scan`, by the convolution, too.

    The convolution is the paper's spatial reorient and enhancement module, without a residual.
    """

    attn: GatedLinearAttention

    def __init__(self, config: DiGConfig, scan: Scan) -> None:
        dim = config.embed_dim
        super().__init__(dim, GatedLinearAttention(dim, config.num_heads), SwiGLU(dim, swiglu_dim(dim, multiple=256)))
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
