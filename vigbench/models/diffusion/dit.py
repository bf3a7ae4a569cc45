"""DiT, diffusion transformers on softmax attention (arXiv 2212.09748)."""

from dataclasses import replace

from timm.layers.attention import Attention
from timm.layers.mlp import Mlp
from torch import nn

from vigbench.models.diffusion.transformer import (
    Block,
    DiffusionConfig,
    DiffusionTransformer,
    diffusion_cfgs,
    register_all,
)
from vigbench.ops.attention import set_attention

MLP_RATIO = 4


class TanhGELU(nn.GELU):
    """GELU by the tanh approximation."""

    def __init__(self) -> None:
        super().__init__(approximate="tanh")


class DiT(DiffusionTransformer):
    """Blocks of timm's attention and MLP."""

    operator: str = "attention"

    def make_block(self, config: DiffusionConfig, layer: int) -> Block:  # noqa: ARG002  all blocks are alike
        dim = config.embed_dim
        mixer = Attention(dim, config.num_heads, qkv_bias=True)
        return Block(dim, mixer, Mlp(dim, MLP_RATIO * dim, act_layer=TanhGELU))

    def set_implementation(self, name: str) -> None:
        """Compute attention with this code from now on, in training and eval; ValueError for an unknown name."""
        super().set_implementation(name)
        set_attention(self, name)


_SIZES = {  # GMACs of patch 2 at 256 px: 6.06, 23.0, 80.7, 118.6
    "small": DiffusionConfig(embed_dim=384, depth=12, num_heads=6),
    "base": DiffusionConfig(embed_dim=768, depth=12, num_heads=12),
    "large": DiffusionConfig(embed_dim=1024, depth=24, num_heads=16),
    "xlarge": DiffusionConfig(embed_dim=1152, depth=28, num_heads=16),
}
CONFIGS = {
    f"dit_{size}_patch{patch}": replace(config, patch_size=patch)
    for size, config in _SIZES.items()
    for patch in (2, 4, 8)
}
default_cfgs = diffusion_cfgs(CONFIGS)
register_all(DiT, CONFIGS)
