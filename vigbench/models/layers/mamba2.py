"""The layer of Mamba-2 (arXiv 2405.21060, section 7), under the names of mamba-ssm's."""

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vigbench.models.layers.layer import Layer
from vigbench.models.model import RMSNorm
from vigbench.ops.scalar_gla import ssd

EXPAND, TAPS = 2, 4
NORM_EPS = 1e-5
RATE_RANGE = (1.0, 16.0)  # -A at initialisation
STEP_RANGE = (1e-3, 1e-1)  # dt there


class Mamba2Layer(Layer):
    """One projection in, a causal convolution, the state space dual of one group, a gated norm, a projection out.

    key_dim is the state's size N, 128 in the paper, and value_dim the head's P, 64; heads hold twice the width.
    """

    operator: str = "scalar_gla"
    of_heads: ClassVar[str] = "heads * value_dim / 2"

    def __init__(self, heads: int, key_dim: int, value_dim: int) -> None:
        super().__init__()
        self.dim = self.width(heads, key_dim, value_dim)
        self.num_heads, self.inner, self.state = heads, heads * value_dim, key_dim
        mixed = self.inner + 2 * self.state  # x, B and C
        self.in_proj = nn.Linear(self.dim, self.inner + mixed + heads, bias=False)
        self.conv1d = nn.Conv1d(mixed, mixed, TAPS, groups=mixed)
        self.dt_bias, self.A_log, self.D = (nn.Parameter(torch.empty(heads)) for _ in range(3))
        self.norm = RMSNorm(self.inner, eps=NORM_EPS)
        self.out_proj = nn.Linear(self.inner, self.dim, bias=False)
        self.init_weights()

    @classmethod
    def width(cls, heads: int, key_dim: int, value_dim: int) -> int:
        inner = super().width(heads, key_dim, value_dim)
        if inner % EXPAND:
            raise ValueError(f"heads * value_dim is {inner}, {EXPAND} times the width: choose an even number")
        return inner // EXPAND

    def forward(self, x: Tensor) -> Tensor:
        self.require(x)
        z, mixed, dt = self.in_proj(x).split((self.inner, self.inner + 2 * self.state, self.num_heads), -1)
        mixed = F.silu(self.conv1d(F.pad(mixed.mT, (TAPS - 1, 0)))).mT
        u, B, C = mixed.split((self.inner, self.state, self.state), -1)
        wide = torch.promote_types(u.dtype, torch.float32)  # steps and decays, as in mamba-ssm
        dt_bias, A_log, D = (parameter.to(wide) for parameter in (self.dt_bias, self.A_log, self.D))
        y: Tensor = ssd(
            u.unflatten(-1, (self.num_heads, -1)),
            F.softplus(dt.to(wide) + dt_bias),
            -A_log.exp(),
            B.unsqueeze(2),
            C.unsqueeze(2),
            D,
            implementation=self.implementation,
        )
        return self.out_proj(self.norm(y.flatten(-2) * F.silu(z)))  # type: ignore[no-any-return]

    @torch.no_grad()
    def init_weights(self) -> None:
        """The released initialisation."""
        self.A_log.uniform_(*RATE_RANGE).log_()
        low, high = (math.log(step) for step in STEP_RANGE)
        step = torch.empty_like(self.dt_bias).uniform_(low, high).exp()
        self.dt_bias.copy_(step + (-torch.expm1(-step)).log())  # the inverse of softplus
        self.D.fill_(1)
