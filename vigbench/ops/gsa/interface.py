"""Gated slot attention for users: checks, defaults and the choice of implementation."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from vigbench.ops.dispatch import autocasts, load_operator, selected_implementation
from vigbench.ops.gsa.operator import GsaFunction
from vigbench.ops.inputs import in_one_dtype, require_placement, require_shapes


def bidirectional_gsa(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    s_fwd: Tensor | None,
    s_bwd: Tensor | None,
    g_fwd: Tensor,
    g_bwd: Tensor,
    scale: float | None = None,
    implementation: str = "auto",
) -> Tensor:
    """Mean of gated slot attention from the first token to the last and from the last to the first.

    Forward: keys and values are written to M slots, K_t = diag(exp(g_t)) K_(t-1) + s_t k_t^T and the same of V_t and
    v_t; o_t = V_t^T softmax(scale K_t q_t), over the slots (GSA, arXiv 2409.07146, section 3.2). Backward: the same
    from the last token, with g_bwd_t applied where the state arrives. Either direction has a softmax of its own, and
    the current token counts once in each. Differentiable.

    Args:
        q, k: queries and keys, (batch, length, heads, key_dim).
        v: values, (batch, length, heads, value_dim), dtype of q.
        s_fwd, s_bwd: how strongly a token is written to each slot, (batch, length, heads, slots), dtype of q. None:
            1 - exp(g), the paper's, without cancellation.
        g_fwd, g_bwd: log-decays <= 0 per slot, -inf included, shape of s, dtype of q or float32.
        scale: factor on the logits, by default key_dim ** -0.5.
        implementation: a name from `list_implementations("gsa")`, or "auto" for the first one the device supports.

    Returns:
        Like v. Sums and logits are kept in float32 for half precision.

    Raises:
        ValueError: shapes, dtypes or devices do not fit, or the implementation is unknown or cannot run here.
    """
    q, k, v, (s_fwd, g_fwd), (s_bwd, g_bwd) = _checked(q, k, v, {"_fwd": (s_fwd, g_fwd), "_bwd": (s_bwd, g_bwd)})
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    inputs = (q, k, v, s_fwd, s_bwd, g_fwd, g_bwd)
    return _operator(implementation, *inputs)(*inputs, scale)


def gsa(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    s: Tensor | None,
    g: Tensor,
    scale: float | None = None,
    reverse: bool = False,
    implementation: str = "auto",
) -> Tensor:
    """Gated slot attention in one direction, from the last token to the first if `reverse`.

    Arguments, result and errors as in `bidirectional_gsa`, with `s` and `g` those of the one direction.
    """
    q, k, v, (s, g) = _checked(q, k, v, {"": (s, g)})
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    inputs = (q, k, v, None, s, None, g) if reverse else (q, k, v, s, None, g, None)
    return _operator(implementation, *inputs)(*inputs, scale)


def measured_gsa(q: Tensor, k: Tensor, v: Tensor, g_fwd: Tensor, g_bwd: Tensor, implementation: str) -> Tensor:
    """`bidirectional_gsa` with s = 1 - exp(g): the call that is measured on its own."""
    return bidirectional_gsa(q, k, v, None, None, g_fwd, g_bwd, implementation=implementation)


def _operator(implementation: str, *inputs: Tensor | None) -> GsaFunction:
    operator: GsaFunction = load_operator("gsa", selected_implementation("gsa", implementation, *inputs))
    return operator


def _checked(q: Tensor, k: Tensor, v: Tensor, slots: Mapping[str, tuple[Tensor | None, Tensor]]) -> tuple[Any, ...]:
    """q, k, v, and s and g of each direction; `slots` has them by the ending of their names."""
    strengths = {f"s{ending}": s for ending, (s, _) in slots.items() if s is not None}
    gates = {f"g{ending}": g for ending, (_, g) in slots.items()}
    _check_shapes(q, k, v, strengths | gates)
    q, k, v = in_one_dtype(q, k, v)
    if autocasts(q.device.type):
        strengths = {name: s.to(q.dtype) for name, s in strengths.items()}
    require_placement({"q": q, "k": k, "v": v} | strengths, gates)
    written = (strengths.get(f"s{ending}") for ending in slots)
    ways = zip(written, gates.values(), strict=True)
    return q, k, v, *((-torch.expm1(g).to(q.dtype) if s is None else s, g) for s, g in ways)


def _check_shapes(q: Tensor, k: Tensor, v: Tensor, slots: Mapping[str, Tensor]) -> None:
    require_shapes(q, k, v)
    for name, x in slots.items():
        if x.ndim != 4 or x.shape[:3] != q.shape[:3]:
            raise ValueError(
                f"{name} is {tuple(x.shape)} but q is {tuple(q.shape)}: only the last dimension may differ"
            )
    counts = {name: x.shape[-1] for name, x in slots.items()}
    if len({*counts.values()}) > 1 or 0 in counts.values():
        raise ValueError(f"slots are {counts}: give s and g of both directions equally many, at least one")
