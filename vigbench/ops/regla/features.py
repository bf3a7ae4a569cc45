"""What ReGLA makes of its inputs before it is gated linear attention: features of q and k, log-decays of the logits.

ReGLA, arXiv 2502.01578: safe exponentials (equations 9 and 10), and the refined gate
F = (1 - r) f^2 + r (1 - (1 - f)^2) of f = sigmoid(x) and r = sigmoid(y) (Gu et al. 2020, arXiv 1910.09890).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

QUERIES, KEYS = (3,), (1, 3)  # of (batch, length, heads, key_dim): a token's channels; those of all tokens of a head


def features(x: Tensor, over: tuple[int, ...]) -> Tensor:
    """exp(x - its maximum over these dimensions), in (0, 1]."""
    return (x - x.amax(over, keepdim=True)).exp_()


def through_features(grad: Tensor, x: Tensor, mapped: Tensor, over: tuple[int, ...]) -> Tensor:
    """Gradient of x from that of its features, the maximum's share included; equal maxima share it equally."""
    grad = grad * mapped
    top = x == x.amax(over, keepdim=True)
    share = grad.sum(over, keepdim=True) / top.sum(over, keepdim=True)
    return grad - top * share


def log_decay(x: Tensor, y: Tensor) -> Tensor:
    """log F <= 0, from logarithms alone: F itself underflows.

    F = f (f + 2 r (1 - f)), and log(1 - f) = log f - x: so log F = 2 log f + log(1 + 2 r e^-x).
    """
    return (2 * F.logsigmoid(x) - F.logsigmoid(-_log_ratio(x, y))).clamp_(max=0.0)


def through_log_decay(grad: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of x and y from that of log F: of sums of positive terms, so that no digit cancels.

    With w = 2 r (1 - f) / (f + 2 r (1 - f)): d log F / dx = (1 - f) (2 (1 - w) (1 - r) + w), d log F / dy = w (1 - r).
    """
    ratio, keep = _log_ratio(x, y), (-y).sigmoid()
    w = ratio.sigmoid()
    return grad * (-x).sigmoid() * (2 * (-ratio).sigmoid() * keep + w), grad * w * keep


def _log_ratio(x: Tensor, y: Tensor) -> Tensor:
    """log(2 r (1 - f) / f)."""
    return math.log(2) + F.logsigmoid(y) - x


def log_decay_of(x: Tensor | None, y: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """`log_decay` in this dtype, of a direction that may not be there."""
    return None if x is None or y is None else log_decay(x.to(dtype), y.to(dtype))
