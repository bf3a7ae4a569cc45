"""What operators are measured on: inputs from standard normal numbers, spread as models have them before training."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

GLA_NORMALIZER, GSA_NORMALIZER = 16.0, 8.0  # arXiv 2312.06635, section 4.4; arXiv 2409.07146, section 3.3
SSD_STEPS, SSD_RATES = (0.001, 0.1), (-16.0, -1.0)  # arXiv 2405.21060, and the code of Mamba-2's authors


def gla_log_decay(x: Tensor) -> Tensor:
    """logsigmoid(x) / 16: about -0.05 a token."""
    return F.logsigmoid(x) / GLA_NORMALIZER


def gsa_log_decay(x: Tensor) -> Tensor:
    """logsigmoid(x) / 8: about -0.1 a token."""
    return F.logsigmoid(x) / GSA_NORMALIZER


def ssd_step(x: Tensor) -> Tensor:
    """Step sizes between 0.001 and 0.1, uniform in their logarithms, as Mamba-2 has them before training."""
    least, most = (math.log(size) for size in SSD_STEPS)
    return (least + (most - least) * _uniform(x)).exp()


def ssd_rate(x: Tensor) -> Tensor:
    """Rates between -16 and -1, uniform, as Mamba-2 has them before training."""
    least, most = SSD_RATES
    return least + (most - least) * _uniform(x)


def _uniform(x: Tensor) -> Tensor:
    """Standard normal numbers as uniform ones in [0, 1]."""
    share: Tensor = torch.special.ndtr(x)
    return share


def unit_length(x: Tensor) -> Tensor:
    """Vectors of length 1, as the keys of a delta rule are (arXiv 2412.06464, section 3.4)."""
    return F.normalize(x, dim=-1)


def strength(x: Tensor) -> Tensor:
    """sigmoid(x), how much of what a state lacks a delta rule writes: about a half."""
    return torch.sigmoid(x)


def positive_feature(x: Tensor) -> Tensor:
    """elu(x) + 1 > 0, as linear attention with a norm takes q and k (arXiv 2006.16236, equation 7)."""
    return F.elu(x) + 1
