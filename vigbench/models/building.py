"""What every way of building a subject shares."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from vigbench.ops.registry import UnsupportedError as UnsupportedError


def build_on_meta(build: Callable[[], nn.Module]) -> nn.Module:
    """Build without weights; for real where a constructor computes with tensors, which meta ones do not hold."""
    try:
        with torch.device("meta"):
            return build()
    except Exception:  # numpy and others have exceptions of their own for a tensor without values
        return build()
