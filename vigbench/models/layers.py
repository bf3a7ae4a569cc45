"""Layers that ViG and ViG-H share. Features are channels-last throughout: (batch, height, width, channels)."""

from collections.abc import Iterable
from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from vigbench.ops.gated_norm import FUSED_WITH, gated_norm
from vigbench.ops.gla import bidirectional_gla_low_rank, selected_implementation

GATE_LOGIT_NORMALIZER = 16.0
GATE_RANK = 16
RELEASED_GAIN = 2**-2.5


class LayerNorm2d(nn.LayerNorm):
    """LayerNorm over the channels of a (batch, channels, height, width) tensor; leaves it channels-last in memory."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class RMSNorm(nn.RMSNorm):
    """RMSNorm in the dtype of its input: autocast hands it half precision, and torch fuses equal dtypes only."""

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.normalized_shape, self.weight.to(x.dtype), self.eps)


class TokenMixer(nn.Module):
    """A layer around an operator; `implementation` says which code computes that, "auto" leaves it to the device."""

    implementation = "auto"


class GatedLinearAttention2d(TokenMixer):
    """ViG's mixer (arXiv 2405.18425, section 3): depthwise 3x3, bidirectional GLA on its result, the two gated.

    Input and output are (batch, height, width, dim). `act` puts SiLU after the convolution and before the output
    projection. `halve_in_eval` repeats a quirk of the released plain ViG, whose eval mode halves the output twice.
    """

    def __init__(
        self, dim: int, num_heads: int, *, act: bool = False, halve_in_eval: bool = False, eps: float = 1e-6
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.eps = eps
        self.key_dim = dim // 2
        self.scale = (self.key_dim // num_heads) ** -0.5
        self.halve_in_eval = halve_in_eval
        self.in_proj = nn.Sequential(
            nn.Conv2d(dim, dim, 3, padding=1, groups=dim, bias=False), nn.SiLU() if act else nn.Identity()
        )
        self.qkv_proj = nn.Linear(dim, 2 * self.key_dim + dim, bias=False)
        self.gk_proj = nn.Sequential(nn.Linear(dim, GATE_RANK, bias=False), nn.Linear(GATE_RANK, 2 * self.key_dim))
        self.g_proj = nn.Linear(dim, dim)
        self.g_norm = RMSNorm(dim // num_heads, eps=eps)
        self.l_norm = RMSNorm(dim // num_heads, eps=eps)
        self.out_act = nn.SiLU() if act else nn.Identity()
        self.o_proj = nn.Linear(dim, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        local = self.in_proj(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1).flatten(1, 2)
        q, k, v = self.qkv_proj(local).split((self.key_dim, self.key_dim, local.shape[-1]), dim=-1)
        q, k, v = (self._heads(y) for y in (q, k, v))
        low_rank, logits = cast("Iterable[nn.Linear]", self.gk_proj)
        gates = (  # both directions' logits are computed where the implementation wants them
            low_rank(local),
            logits.weight.view(2, self.num_heads, -1, GATE_RANK),
            logits.bias.view(2, self.num_heads, -1),
        )
        scale = self.scale / 2 if self.halve_in_eval and not self.training else self.scale
        implementation = selected_implementation(self.implementation, q, k, v, *gates)
        o = bidirectional_gla_low_rank(q, k, v, *gates, GATE_LOGIT_NORMALIZER, scale, implementation)
        o = gated_norm(
            o,
            self._heads(local),
            self._heads(self.g_proj(local)),
            self.g_norm.weight,
            self.l_norm.weight,
            self.eps,
            act=isinstance(self.out_act, nn.SiLU),
            fused=implementation in FUSED_WITH,
        )
        return self.o_proj(o.flatten(-2)).view(x.shape)  # type: ignore[no-any-return]

    def _heads(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:-1], self.num_heads, x.shape[-1] // self.num_heads)

    def init_weights(self) -> None:
        """The released initialisation."""
        for layer in (self.qkv_proj, self.in_proj[0], self.g_proj, self.o_proj, *self.gk_proj):
            nn.init.xavier_uniform_(layer.weight, gain=RELEASED_GAIN)


def swiglu(x: Tensor) -> Tensor:
    """SiLU of the first half of the channels times the second half."""
    gate, up = x.chunk(2, dim=-1)
    return F.silu(gate).mul_(up)


def swiglu_dim(dim: int, multiple: int) -> int:
    """Hidden width of the SwiGLU MLPs: 8/3 dim, rounded up to a multiple."""
    return -(-int(dim * 8 / 3) // multiple) * multiple


def linear_head(dim: int, num_classes: int, like: Tensor | None = None) -> nn.Module:
    """The last layer, on the device and in the dtype of `like`; none for 0 classes."""
    if num_classes == 0:
        return nn.Identity()
    return nn.Linear(dim, num_classes) if like is None else nn.Linear(dim, num_classes).to(like)
