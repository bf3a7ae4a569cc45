"""timm's attention modules compute either way; their `fused_attn` attribute says which."""

from __future__ import annotations

from torch import nn

from vigbench.ops.registry import get_implementation


def attention_modules(model: nn.Module) -> list[nn.Module]:
    """timm's attention modules in `model` that can be switched; empty for models without attention."""
    return [module for module in model.modules() if isinstance(getattr(module, "fused_attn", None), bool)]


def set_attention(model: nn.Module, implementation: str) -> None:
    """Make every attention module of `model` use `eager` or `sdpa`.

    Raises:
        ValueError: for another name, or a model without timm attention.
    """
    get_implementation("attention", implementation)
    modules = attention_modules(model)
    if not modules:
        raise ValueError(f"{type(model).__name__} has no timm attention; measure it without `attention:`.")
    for module in modules:
        setattr(module, "fused_attn", implementation == "sdpa")  # noqa: B010  nn.Module types its attributes as tensors
