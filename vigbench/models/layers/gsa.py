"""The layer of gated slot attention (arXiv 2409.07146, section 3.3), under the names of flash-linear-attention's."""

import torch.nn.functional as F
from torch import Tensor, nn

from vigbench.models.layers.layer import Layer
from vigbench.models.model import RMSNorm
from vigbench.ops.gsa import gsa

SLOTS = 64
GATE_LOGIT_NORMALIZER = 8.0
NORM_EPS = 1e-5


class GSALayer(Layer):
    """Swish on queries, keys and values; log-decays logsigmoid(x W) / 8; RMSNorm of swish(o) over the whole width.

    The paper's key_dim is value_dim, with 64 slots a head whatever that is.
    """

    operator: str = "gsa"

    def __init__(self, heads: int, key_dim: int, value_dim: int) -> None:
        super().__init__()
        self.dim = dim = self.width(heads, key_dim, value_dim)
        self.num_heads = heads
        self.q_proj, self.k_proj = (nn.Linear(dim, heads * key_dim, bias=False) for _ in range(2))
        self.v_proj = nn.Linear(dim, dim, bias=False)
        self.f_proj = nn.Linear(dim, heads * SLOTS, bias=False)
        self.g_norm = RMSNorm(dim, eps=NORM_EPS)
        self.o_proj = nn.Linear(dim, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        self.require(x)
        layers = self.q_proj, self.k_proj, self.v_proj, self.f_proj
        q, k, v, logits = (layer(x).unflatten(-1, (self.num_heads, -1)) for layer in layers)
        q, k, v = (F.silu(y) for y in (q, k, v))
        g = F.logsigmoid(logits) / GATE_LOGIT_NORMALIZER
        o: Tensor = gsa(q, k, v, None, g, scale=1.0, implementation=self.implementation)  # s = 1 - e^g
        return self.o_proj(self.g_norm(F.silu(o).flatten(-2)))  # type: ignore[no-any-return]
