"""The layer of gated linear attention (arXiv 2312.06635, section 4.4), under the names of flash-linear-attention's."""

from typing import cast

from torch import Tensor, nn

from vigbench.models.layers.layer import Layer
from vigbench.models.mixers.gated_linear_attention import (
    GATE_LOGIT_NORMALIZER,
    GATE_RANK,
    RELEASED_GAIN,
    low_rank_projection,
)
from vigbench.models.model import RMSNorm, TokenMixer, liken_keys
from vigbench.ops.gated_norm import FUSED_WITH
from vigbench.ops.gla import gla_low_rank, selected_implementation
from vigbench.ops.norm_swish_gate import norm_swish_gate

NORM_EPS = 1e-5


class GatedLinearAttention(TokenMixer):
    """GLA in one direction with an output gate: (batch, tokens, dim) to the same. DiG has it, too.

    Log-decays are logsigmoid(x W1 W2 + b) / 16 with W1 to 16 channels; the norm of heads is RMSNorm with one weight
    for all. `key_dim` is that of all heads together.
    """

    def __init__(self, dim: int, num_heads: int, key_dim: int, eps: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q_proj = nn.Linear(dim, key_dim, bias=False)
        self.k_proj = nn.Linear(dim, key_dim, bias=False)
        self.v_proj = nn.Linear(dim, dim, bias=False)
        self.g_proj = nn.Linear(dim, dim, bias=False)
        self.gk_proj = low_rank_projection(dim, key_dim)
        self.g_norm_swish_gate = RMSNorm(dim // num_heads, eps=eps)
        self.o_proj = nn.Linear(dim, dim, bias=False)

    def forward(self, x: Tensor, reverse: bool = False) -> Tensor:
        q, k, v, gate = (self._heads(layer(x)) for layer in (self.q_proj, self.k_proj, self.v_proj, self.g_proj))
        low_rank, logits = self.gk_proj[0](x), cast("nn.Linear", self.gk_proj[1])
        weight, bias = logits.weight.view(self.num_heads, -1, GATE_RANK), logits.bias.view(self.num_heads, -1)
        implementation = selected_implementation(self.implementation, q, k, v, low_rank, weight, bias)
        gates = low_rank, weight, bias, GATE_LOGIT_NORMALIZER
        o: Tensor = gla_low_rank(q, k, v, *gates, reverse=reverse, implementation=implementation)
        norm = self.g_norm_swish_gate
        o = norm_swish_gate(o, gate, norm.weight, norm.eps or 0.0, fused=implementation in FUSED_WITH)
        return self.o_proj(o.flatten(-2))  # type: ignore[no-any-return]

    def _heads(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:-1], self.num_heads, x.shape[-1] // self.num_heads)

    def init_weights(self) -> None:
        """DiG's released initialisation."""
        for layer in (self.q_proj, self.k_proj, self.v_proj, self.g_proj, self.o_proj, *self.gk_proj):
            nn.init.xavier_uniform_(layer.weight, gain=RELEASED_GAIN)


class GLALayer(GatedLinearAttention, Layer):
    """The same on its own; the paper's key_dim is half of value_dim."""

    operator: str = "gla"

    def __init__(self, heads: int, key_dim: int, value_dim: int) -> None:
        dim = self.width(heads, key_dim, value_dim)
        super().__init__(dim, heads, heads * key_dim, NORM_EPS)
        self.dim = dim

    def forward(self, x: Tensor, reverse: bool = False) -> Tensor:
        self.require(x)
        return super().forward(x, reverse)

    def settle_weights(self) -> None:
        liken_keys(self.q_proj, self.k_proj)
