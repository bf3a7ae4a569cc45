"""What operators are measured on: inputs from standard normal numbers, spread as models have them before training."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

GLA_NORMALIZER, GSA_NORMALIZER = 16.0, 8.0  # arXiv 2312.06635, section 4.4; arXiv 2409.07146, section 3.3


def gla_log_decay(x: Tensor) -> Tensor:
    """logsigmoid(x) / 16: about -0.05 a token."""
    return F.logsigmoid(x) / GLA_NORMALIZER


def gsa_log_decay(x: Tensor) -> Tensor:
    """logsigmoid(x) / 8: about -0.1 a token."""
    return F.logsigmoid(x) / GSA_NORMALIZER
