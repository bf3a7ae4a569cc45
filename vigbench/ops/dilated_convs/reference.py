"""The branches by torch's own operators, as the released model has them (GLIMS, arXiv 2404.17854)."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def reference(x: Tensor, *rest: Any) -> Tensor:
    """cat of prelu(group_norm(conv3d(x))) of dilations 1, 2 and 3.

    Args:
        x: (batch, channels, depth, height, width).
        rest: three tensors each, weights, biases, weights and biases of norms, slopes; then the norms' eps.

    Returns:
        (batch, 3 * channels, depth, height, width), dtype of x.
    """
    *parameters, eps = rest
    channels, outputs = x.shape[1], []
    for branch in range(3):
        weight, bias, norm_weight, norm_bias, slope = parameters[branch::3]
        y = F.conv3d(x, weight, bias, padding=branch + 1, dilation=branch + 1, groups=channels)
        # not F.group_norm, which refuses a batch of a single voxel
        y = torch.group_norm(y, channels, norm_weight, norm_bias, eps)
        outputs.append(F.prelu(y, slope.to(y.dtype)).to(x.dtype))
    return torch.cat(outputs, 1)
