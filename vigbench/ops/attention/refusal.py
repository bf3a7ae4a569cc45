"""Kernels refuse what they cannot compute in words of their own; callers meet one error that names alternatives."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import torch

from vigbench.ops.registry import UnsupportedError

P = ParamSpec("P")
T = TypeVar("T")

REFUSALS = (
    "No available kernel",  # torch, where the one backend that is allowed cannot compute this
    "No valid execution plans",  # cuDNN, of which torch had thought that it could
    "FlashAttention only support",  # flash-attn: the precision, the device
    "FlashAttention forward only support",  # flash-attn: the head's size
    "head_dim must be ",  # flash-attn-4
    "head_dim_v must be ",
    "Unsupported compute capability. Supported",
    "NYI: embedding dimension of the query",  # flex_attention: a head of fewer than 16
    "NoValidChoicesError",  # flex_attention: no tile fits the device
)


def is_refusal(error: BaseException) -> bool:
    """Whether a kernel says with it that these inputs are none of its own; anything else is an error."""
    return any(words in str(error) for words in REFUSALS)


def or_unsupported(name: str, attend: Callable[P, T]) -> Callable[P, T]:
    """`attend`, which raises UnsupportedError (a ValueError) where it has no kernel for its inputs.

    Args:
        name: of the implementation, for the message.
        attend: any function that ends in a kernel for attention; its other errors pass through.
    """

    @wraps(attend)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return attend(*args, **kwargs)
        except (RuntimeError, AssertionError) as error:
            if not is_refusal(error):
                raise
            # looked for by a second call: in the first it would cost every call that succeeds
            why = "" if torch.compiler.is_compiling() else _reasons(lambda: attend(*args, **kwargs))
            raise UnsupportedError(
                f"{name} has no kernel for this attention on this device ({why or _first_line(error)}). "
                "Leave this case out, or choose sdpa, which takes another backend where it has to, or eager."
            ) from error

    return call


def _reasons(attend: Callable[[], object]) -> str:
    """What torch warns of while it refuses: why the backend was not used."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with contextlib.suppress(RuntimeError, AssertionError):
            attend()
    said = [str(warning.message).partition(" (Triggered internally")[0].strip() for warning in caught]
    # other backends are off since one is pinned, and each reason follows a heading
    found = [text for text in said if text and "not used because" not in text and "runtime disabled" not in text]
    return "; ".join(reason.rstrip(".") for reason in dict.fromkeys(found))


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0].rstrip(". ")
