"""timm's attention modules compute by any implementation, and timm's code stays as it is.

Their `fused_attn` attribute chooses between eager code and scaled_dot_product_attention. A backend is pinned around the
whole model's forward pass. Any other function takes the place of scaled_dot_product_attention in the globals of a copy
of the module's forward function: unlike an intercepted call this costs no time.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import FunctionType, MethodType, ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vigbench.ops.attention.softmax import BACKENDS, Attention, pinned
from vigbench.ops.registry import UnsupportedError, get_implementation, select_implementation

FUSED = "scaled_dot_product_attention"


def attention_modules(model: nn.Module) -> list[nn.Module]:
    """timm's attention modules in `model` that can be switched; empty for models without attention."""
    return [module for module in model.modules() if isinstance(getattr(module, "fused_attn", None), bool)]


def set_attention(model: nn.Module, implementation: str) -> None:
    """Make every attention module of `model` compute by `implementation` from now on; "auto" is a CPU's first choice.

    Raises:
        UnsupportedError: if a module's code cannot be given this implementation.
        ValueError: for an unknown name, or a model without timm attention.
    """
    if implementation == "auto":
        implementation = select_implementation("attention", implementation, "cpu").name
    chosen = get_implementation("attention", implementation)
    modules = attention_modules(model)
    if not modules:
        raise ValueError(f"{type(model).__name__} has no timm attention; measure it without `implementation:`.")
    for module in (model, *modules):
        module.__dict__.pop("forward", None)  # of an earlier choice
    for module in modules:
        setattr(module, "fused_attn", implementation != "eager")  # noqa: B010  nn.Module types its attributes as tensors
    if implementation in BACKENDS:
        _replace_forward(model, pinned(implementation, _forward_of(model)))
    elif implementation not in ("eager", "sdpa"):
        fused = _as_fused(chosen.load(), implementation)
        for module in modules:
            _replace_forward(module, _with_fused(_forward_of(module), fused))


def _forward_of(module: nn.Module) -> FunctionType:
    forward = inspect.unwrap(type(module).forward)
    assert isinstance(forward, FunctionType)
    return forward


def _replace_forward(module: nn.Module, forward: Callable[..., Any]) -> None:
    module.__dict__["forward"] = MethodType(forward, module)


def _as_fused(attend: Attention, name: str) -> Callable[..., Tensor]:
    """`attend`, which takes (batch, length, heads, dim), in the form of scaled_dot_product_attention."""

    def fused(
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
    ) -> Tensor:
        if attn_mask is not None or dropout_p or is_causal or query.ndim != 4:
            raise UnsupportedError(
                f"{name} stands for plain attention here, and this model's has a mask, dropout or other dimensions: "
                "choose sdpa"
            )
        scale = query.shape[-1] ** -0.5 if scale is None else scale
        out = attend(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), scale)
        return out.transpose(1, 2)

    return fused


def _with_fused(forward: FunctionType, fused: Callable[..., Tensor]) -> FunctionType:
    """A copy of the function that finds `fused` under the names by which timm calls torch's."""
    names = set(forward.__code__.co_names)
    functional = _with_attribute(F, FUSED, fused)
    substitutes: dict[str, ModuleType] = {}
    if FUSED in names and forward.__globals__.get("F") is F:
        substitutes["F"] = functional
    if {FUSED, "torch", "functional"} <= names:
        substitutes["torch"] = _with_attribute(torch, "nn", _with_attribute(nn, "functional", functional))
    if not substitutes:
        raise UnsupportedError(
            f"{forward.__qualname__} does not call {FUSED} where it can be replaced: choose eager or sdpa"
        )
    known = {**forward.__globals__, **substitutes}
    del known["__name__"]  # torch.compile takes globals that have a name for those of the module called so
    copy = FunctionType(
        forward.__code__,
        known,
        forward.__name__,
        forward.__defaults__,
        forward.__closure__,
    )
    copy.__kwdefaults__ = forward.__kwdefaults__
    return copy


def _with_attribute(module: ModuleType, name: str, value: Any) -> ModuleType:
    """A module like `module` with one attribute replaced."""
    copy = ModuleType(module.__name__)
    vars(copy).update({**vars(module), name: value})
    return copy
