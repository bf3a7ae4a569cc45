"""ViG's mixer around other operators, so that the price of each form of gate in one backbone can be measured.

Projections, convolution, norms and output gate are ViG's; each mixer has the gates of its own operator, through ViG's
narrow layer where they have a number per channel. Nobody has trained these: they say nothing about accuracy.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vigbench.models.mixers.gated_linear_attention import GatedLinearAttention2d, low_rank_projection
from vigbench.ops.dispatch import selected_implementation
from vigbench.ops.draws import GSA_NORMALIZER
from vigbench.ops.gsa import bidirectional_gsa
from vigbench.ops.regla import bidirectional_regla
from vigbench.ops.scalar_gla import bidirectional_retention, ssd


class GatedSlotAttention2d(GatedLinearAttention2d):
    """Gated slot attention (arXiv 2409.07146) with as many slots as key channels; writes are 1 - exp(g)."""

    operator: str = "gsa"

    def add_gates(self, dim: int) -> None:
        """A log-decay for each slot and direction."""
        self.f_proj = low_rank_projection(dim, 2 * self.key_dim)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, local: Tensor) -> tuple[Tensor, str]:
        g_fwd, g_bwd = (F.logsigmoid(self._heads(x)) / GSA_NORMALIZER for x in self.f_proj(local).chunk(2, dim=-1))
        implementation = selected_implementation(self.operator, self.implementation, q, k, v, g_fwd, g_bwd)
        return bidirectional_gsa(q, k, v, None, None, g_fwd, g_bwd, self.scale, implementation), implementation


class RefinedGatedLinearAttention2d(GatedLinearAttention2d):
    """ReGLA (arXiv 2502.01578): exponential features, and a forget gate refined by a second one."""

    operator: str = "regla"

    def add_gates(self, dim: int) -> None:
        """Logits of both gates, in each direction."""
        self.gk_proj = low_rank_projection(dim, 4 * self.key_dim)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, local: Tensor) -> tuple[Tensor, str]:
        x_fwd, y_fwd, x_bwd, y_bwd = (self._heads(x) for x in self.gk_proj(local).chunk(4, dim=-1))
        implementation = selected_implementation(self.operator, self.implementation, q, k, v, x_fwd)
        return bidirectional_regla(q, k, v, x_fwd, y_fwd, x_bwd, y_bwd, implementation=implementation), implementation


class Retention2d(GatedLinearAttention2d):
    """Retention (arXiv 2307.08621): each head forgets at a rate of its own, the same for all tokens."""

    operator: str = "scalar_gla"

    def add_gates(self, dim: int) -> None:
        """None: decays are fixed."""

    def attend(self, q: Tensor, k: Tensor, v: Tensor, local: Tensor) -> tuple[Tensor, str]:  # noqa: ARG002
        implementation = selected_implementation(self.operator, self.implementation, q, k, v)
        return bidirectional_retention(q, k, v, scale=self.scale, implementation=implementation), implementation


class StateSpaceDuality2d(GatedLinearAttention2d):
    """Mamba-2's SSD (arXiv 2405.21060) once each way: q is its C, k its B, v its x; a group for each head."""

    operator: str = "scalar_gla"

    def add_gates(self, dim: int) -> None:
        """A step for each token and head, a rate and a skip for each head, in each direction."""
        self.dt_proj = nn.Linear(dim, 2 * self.num_heads)
        self.A_log = nn.Parameter(torch.zeros(2, self.num_heads))
        self.D = nn.Parameter(torch.ones(2, self.num_heads))

    def attend(self, q: Tensor, k: Tensor, v: Tensor, local: Tensor) -> tuple[Tensor, str]:
        steps = F.softplus(self.dt_proj(local).float()).to(v.dtype).chunk(2, dim=-1)
        rates, skips = -self.A_log.float().exp(), self.D.float()
        implementation = selected_implementation(self.operator, self.implementation, q, k, v, *steps)
        fwd, bwd = (
            ssd(v, dt, a, k, q, d, reverse, implementation)
            for dt, a, d, reverse in zip(steps, rates.unbind(), skips.unbind(), (False, True), strict=True)
        )
        return (fwd + bwd) / 2, implementation
