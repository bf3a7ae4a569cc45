"""RetNet's multi-scale retention (arXiv 2307.08621, section 2.2), with the rotation of the authors' code."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from vigbench.models.layers.layer import Layer
from vigbench.models.layers.rotary import rotated
from vigbench.models.model import liken_keys
from vigbench.ops.dispatch import selected_implementation
from vigbench.ops.gated_norm import FUSED_WITH
from vigbench.ops.norm_swish_gate import norm_swish_gate
from vigbench.ops.scalar_gla import retention

NORM_EPS = 1e-6


class RetNetLayer(Layer):
    """Rotary queries and keys, decays fixed for each head, RMSNorm of each head without a weight, then a swish gate.

    The paper's value_dim is twice key_dim. What its code divides scores by is left out: the norm takes it away.
    """

    operator: str = "scalar_gla"
    of_heads: ClassVar[str] = "heads * key_dim"
    ones: Tensor

    def __init__(self, heads: int, key_dim: int, value_dim: int) -> None:
        super().__init__()
        self.dim = dim = self.width(heads, key_dim, value_dim)
        values = heads * value_dim
        self.num_heads, self.steps = heads, max(1, key_dim // 2 - 1)
        self.q_proj, self.k_proj = (nn.Linear(dim, dim, bias=False) for _ in range(2))
        self.v_proj, self.g_proj = (nn.Linear(dim, values, bias=False) for _ in range(2))
        self.o_proj = nn.Linear(values, dim, bias=False)
        self.register_buffer("ones", torch.ones(value_dim), persistent=False)  # the norm's weight

    @classmethod
    def width(cls, heads: int, key_dim: int, value_dim: int) -> int:
        if key_dim % 2:
            raise ValueError(f"key_dim is {key_dim}: channels turn in pairs, choose an even number")
        super().width(heads, key_dim, value_dim)
        return heads * key_dim

    def forward(self, x: Tensor) -> Tensor:
        self.require(x)
        layers = self.q_proj, self.k_proj, self.v_proj, self.g_proj
        q, k, v, gate = (layer(x).unflatten(-1, (self.num_heads, -1)) for layer in layers)
        q, k = (rotated(y, self.steps) for y in (q, k))
        implementation = selected_implementation("scalar_gla", self.implementation, q, k, v)
        o: Tensor = retention(q, k, v, implementation=implementation)
        o = norm_swish_gate(o, gate, self.ones, NORM_EPS, fused=implementation in FUSED_WITH)
        return self.o_proj(o.flatten(-2))  # type: ignore[no-any-return]

    def settle_weights(self) -> None:
        liken_keys(self.q_proj, self.k_proj)
