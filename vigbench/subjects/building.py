"""What every way of building a subject shares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_FILLING = frozenset(
    getattr(Tensor, name) for name in ("normal_", "uniform_", "erfinv_", "mul_", "add_", "clamp_", "fill_", "zero_")
)


class _LeaveEmpty(TorchFunctionMode):
    """No initial values for tensors that hold none: torch works each out in Python, most of a constructor's time."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _FILLING or getattr(func, "__module__", "") == "torch.nn.init":
            tensor = args[0] if args else kwargs["tensor"]
            if tensor.is_meta:
                return tensor
        return func(*args, **kwargs)


def build_on_meta(build: Callable[[], nn.Module]) -> nn.Module:
    """Build without weights; for real where a constructor computes with tensors, which meta ones do not hold."""
    try:
        with torch.device("meta"), _LeaveEmpty():
            return build()
    except Exception:  # numpy and others have exceptions of their own for a tensor without values
        return build()
