"""ViG's mixer (arXiv 2405.18425, section 3), and what mixers around other operators take over from it."""

from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vigbench.models.model import RMSNorm, TokenMixer
from vigbench.ops.gated_norm import FUSED_WITH, gated_norm
from vigbench.ops.gated_projection import gated_projection
from vigbench.ops.gla import bidirectional_gla_low_rank, selected_implementation
from vigbench.ops.norm_conv import norm_conv

RMS_EPS = 1e-6
GATE_LOGIT_NORMALIZER = 16.0
GATE_RANK = 16
RELEASED_GAIN = 2**-2.5
Norm = nn.RMSNorm | nn.LayerNorm
Attend = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, str]]


def bias_of(norm: Norm) -> Tensor | None:
    """LayerNorm's."""
    return norm.bias if isinstance(norm, nn.LayerNorm) else None


def low_rank_projection(dim: int, width: int) -> nn.Sequential:
    """dim to width through ViG's narrow layer."""
    return nn.Sequential(nn.Linear(dim, GATE_RANK, bias=False), nn.Linear(GATE_RANK, width))


class GatedLinearAttention2d(TokenMixer):
    """ViG's mixer (arXiv 2405.18425, section 3): depthwise 3x3, bidirectional GLA on its result, the two gated.

    Input and output are (batch, height, width, dim). `act` puts SiLU after the convolution and before the output
    projection. `halve_in_eval` repeats a quirk of the released plain ViG, whose eval mode halves the output twice.

    A mixer around another `operator` says which gates it has (`add_gates`) and computes it (`attend`).
    """

    operator: str = "gla"

    def __init__(
        self, dim: int, num_heads: int, *, act: bool = False, halve_in_eval: bool = False, eps: float = RMS_EPS
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.eps = eps
        self.act = act
        self.key_dim = dim // 2
        self.scale: float = (self.key_dim // num_heads) ** -0.5
        self.halve_in_eval = halve_in_eval
        self.in_proj = nn.Sequential(
            nn.Conv2d(dim, dim, 3, padding=1, groups=dim, bias=False), nn.SiLU() if act else nn.Identity()
        )
        self.qkv_proj = nn.Linear(dim, 2 * self.key_dim + dim, bias=False)
        self.add_gates(dim)
        self.g_proj = nn.Linear(dim, dim)
        self.g_norm = RMSNorm(dim // num_heads, eps=eps)
        self.l_norm = RMSNorm(dim // num_heads, eps=eps)
        self.o_proj = nn.Linear(dim, dim, bias=False)

    def add_gates(self, dim: int) -> None:
        """What the gates of both directions come from."""
        self.gk_proj = low_rank_projection(dim, 2 * self.key_dim)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, local: Tensor) -> tuple[Tensor, str]:
        """The operator's output, (batch, tokens, heads, head_dim), and the code that computed it.

        q, k and v have heads, too; `local` is what they are projected from, (batch, tokens, dim).
        """
        return self._attend_low_rank(q, k, v, self.gk_proj[0](local))

    def forward(self, x: Tensor) -> Tensor:
        return self.mix(self.in_proj(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1), self.attend)

    def mix(self, x: Tensor, attend: Attend) -> Tensor:
        """What follows the convolution, from its output; `attend` computes the operator as `self.attend` does."""
        local = x.flatten(1, 2)
        q, k, v = self.qkv_proj(local).split((self.key_dim, self.key_dim, local.shape[-1]), dim=-1)
        o, implementation = attend(self._heads(q), self._heads(k), self._heads(v), local)
        o = gated_norm(
            o,
            self._heads(local),
            self._heads(self.g_proj(local)),
            self.g_norm.weight,
            self.l_norm.weight,
            self.eps,
            self.act,
            fused=implementation in FUSED_WITH,
        )
        return self.o_proj(o.flatten(-2)).view(x.shape)  # type: ignore[no-any-return]

    def forward_fused(self, x: Tensor, norm: Norm, residual: bool) -> Tensor:
        """self(norm(x)), and x added with `residual`, by kernels that take more than one step at once."""
        conv = cast("nn.Conv2d", self.in_proj[0])
        local = norm_conv(x, norm.weight, bias_of(norm), conv.weight, norm.eps or 0.0, self.act).flatten(1, 2)
        layers = (self.qkv_proj, cast("nn.Linear", self.gk_proj[0]), self.g_proj)
        projected = F.linear(local, torch.cat([layer.weight for layer in layers]))  # one product for all of them
        q, k, v, low_rank, gate = projected.split((self.key_dim, self.key_dim, x.shape[-1], GATE_RANK, x.shape[-1]), -1)
        o, _ = self._attend_low_rank(self._heads(q), self._heads(k), self._heads(v), low_rank)
        return gated_projection(
            o,
            self._heads(local),
            self._heads(gate),
            self.g_proj.bias,
            self.g_norm.weight,
            self.l_norm.weight,
            self.o_proj.weight,
            x.flatten(1, 2) if residual else None,
            self.eps,
            self.act,
        ).view(x.shape)

    def _attend_low_rank(self, q: Tensor, k: Tensor, v: Tensor, low_rank: Tensor) -> tuple[Tensor, str]:
        logits = cast("nn.Linear", self.gk_proj[1])
        gates = (  # both directions' logits are computed where the implementation wants them
            low_rank,
            logits.weight.view(2, self.num_heads, -1, GATE_RANK),
            logits.bias.view(2, self.num_heads, -1),
        )
        implementation = selected_implementation(self.implementation, q, k, v, *gates)
        o = bidirectional_gla_low_rank(q, k, v, *gates, GATE_LOGIT_NORMALIZER, self.scale_now, implementation)
        return o, implementation

    @property
    def scale_now(self) -> float:
        """Of the scores, in this mode."""
        return self.scale / 2 if self.halve_in_eval and not self.training else self.scale

    def _heads(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:-1], self.num_heads, x.shape[-1] // self.num_heads)

    def init_weights(self) -> None:
        """The released initialisation."""
        for layer in self.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d):
                nn.init.xavier_uniform_(layer.weight, gain=RELEASED_GAIN)
