"""Which code computes a model's operator: how it is chosen, and which one all others are compared with."""

from __future__ import annotations

from torch import nn

from vigbench.ops.attention import set_attention


def use_implementation(model: nn.Module, operator: str, implementation: str) -> None:
    """Have a model compute its operator by this code from now on."""
    choose = getattr(model, "set_implementation", None)
    if choose is None:
        assert operator == "attention", f"{type(model).__name__} offers no choice for {operator}"
        set_attention(model, implementation)
    else:
        choose(implementation)


def takes_any_size(model: nn.Module) -> bool:
    """Whether one model serves every size, as most of vigbench's own do; others are not asked."""
    return bool(getattr(model, "takes_any_size", False))
