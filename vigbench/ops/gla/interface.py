"""Gated linear attention for users: checks, defaults and the choice of implementation."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from vigbench.ops import dispatch
from vigbench.ops.dispatch import define, load_operator
from vigbench.ops.draws import GLA_NORMALIZER
from vigbench.ops.gla.operator import GlaFunction
from vigbench.ops.inputs import in_one_dtype, require_placement, require_shapes
from vigbench.ops.registry import list_implementations

NATIVE_GATES = {one.name: one.variants for one in list_implementations("gla")}  # forms computed inside the kernels
WHOLE_BLOCKS = tuple(one.name for one in list_implementations("gla") if one.whole_block)


def bidirectional_gla(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    g_fwd: Tensor,
    g_bwd: Tensor,
    scale: float | None = None,
    implementation: str = "auto",
) -> Tensor:
    """Mean of gated linear attention from the first token to the last and from the last to the first.

    Forward: S_t = diag(exp(g_fwd_t)) S_(t-1) + k_t v_t^T, o_t = scale q_t S_t (GLA, arXiv 2312.06635, equation 3);
    backward: the same from the last token, with g_bwd_t applied where the state arrives (ViG, arXiv 2405.18425).
    The current token counts once in each direction. Differentiable.

    Args:
        q, k: queries and keys, (batch, length, heads, key_dim).
        v: values, (batch, length, heads, value_dim), dtype of q.
        g_fwd, g_bwd: log-decays <= 0 per key channel, -inf included, shape of q, dtype of q or float32.
        scale: factor on the scores, by default key_dim ** -0.5.
        implementation: a name from `list_implementations("gla")`, or "auto" for the first one the device supports.

    Returns:
        Like v. Sums are kept in float32 for half precision.

    Raises:
        ValueError: shapes, dtypes or devices do not fit, or the implementation is unknown or cannot run here.
    """
    q, k, v = check_inputs(q, k, v, {"g_fwd": g_fwd, "g_bwd": g_bwd})
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    return _operator(implementation, q, k, v, g_fwd, g_bwd)(q, k, v, g_fwd, g_bwd, scale / 2)


def gla(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    g: Tensor,
    scale: float | None = None,
    reverse: bool = False,
    implementation: str = "auto",
) -> Tensor:
    """Gated linear attention in one direction, from the last token to the first if `reverse`.

    Arguments, result and errors as in `bidirectional_gla`, with `g` the log-decays of the one direction.
    """
    q, k, v = check_inputs(q, k, v, {"g": g})
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    g_fwd, g_bwd = (None, g) if reverse else (g, None)
    return _operator(implementation, q, k, v, g_fwd, g_bwd)(q, k, v, g_fwd, g_bwd, scale)


def bidirectional_gla_from_logits(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    x_fwd: Tensor,
    x_bwd: Tensor,
    normalizer: float,
    scale: float | None = None,
    implementation: str = "auto",
) -> Tensor:
    """`bidirectional_gla` with log-decays logsigmoid(x) / normalizer (GLA, arXiv 2312.06635, section 4.4).

    Where the implementation can, they are computed inside its kernels and never reach memory. Other arguments, result
    and errors as in `bidirectional_gla`, with logits x_fwd and x_bwd of the shape of q, in its dtype or float32.
    """
    q, k, v = check_inputs(q, k, v, {"x_fwd": x_fwd, "x_bwd": x_bwd})
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    native = _native("logits", implementation, q, k, v, x_fwd, x_bwd)
    if native is not None:
        return native(q, k, v, x_fwd, x_bwd, scale / 2, normalizer)
    g_fwd, g_bwd = (F.logsigmoid(x) / normalizer for x in (x_fwd, x_bwd))
    return bidirectional_gla(q, k, v, g_fwd, g_bwd, scale, implementation)


def measured_from_logits(*inputs: Tensor, implementation: str) -> Tensor:
    """`bidirectional_gla_from_logits` with ViG's normalizer: the call that is measured on its own."""
    q, k, v, x_fwd, x_bwd = inputs
    return bidirectional_gla_from_logits(q, k, v, x_fwd, x_bwd, GLA_NORMALIZER, implementation=implementation)


def bidirectional_gla_low_rank(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    a: Tensor,
    weight: Tensor,
    bias: Tensor,
    normalizer: float,
    scale: float | None = None,
    implementation: str = "auto",
) -> Tensor:
    """`bidirectional_gla_from_logits` with logits a @ weight^T + bias, as ViG computes them.

    Where the implementation can, only the narrow `a`, which all heads share, is read from memory.

    Args:
        q, k, v, scale, implementation: as in `bidirectional_gla`.
        a: activations, (batch, length, rank), dtype of q.
        weight: (2, heads, key_dim, rank), the forward direction's first, dtype of q.
        bias: (2, heads, key_dim), dtype of q.
        normalizer: log-decays are logsigmoid(logits) / normalizer.
    """
    q, k, v = check_inputs(q, k, v, {})
    a, weight, bias = _check_low_rank(q, a, weight, bias, (2, *q.shape[2:]))
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    native = _native("low_rank", implementation, q, k, v, a, weight, bias)
    if native is not None:
        return native(q, k, v, a, weight, bias, scale / 2, normalizer, False)
    g_fwd, g_bwd = _log_decays(a, weight, bias, normalizer).unbind(2)
    return bidirectional_gla(q, k, v, g_fwd, g_bwd, scale, implementation)


def gla_low_rank(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    a: Tensor,
    weight: Tensor,
    bias: Tensor,
    normalizer: float,
    scale: float | None = None,
    reverse: bool = False,
    implementation: str = "auto",
) -> Tensor:
    """`gla` with log-decays from low-rank activations, as DiG computes them: see `bidirectional_gla_low_rank`.

    weight is (heads, key_dim, rank) and bias (heads, key_dim), of the one direction.
    """
    q, k, v = check_inputs(q, k, v, {})
    a, weight, bias = _check_low_rank(q, a, weight, bias, tuple(q.shape[2:]))
    weight, bias = weight[None], bias[None]
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    native = _native("low_rank", implementation, q, k, v, a, weight, bias)
    if native is not None:
        return native(q, k, v, a, weight, bias, scale, normalizer, reverse)
    return gla(q, k, v, _log_decays(a, weight, bias, normalizer)[:, :, 0], scale, reverse, implementation)


def fuses_block(implementation: str, x: Tensor) -> bool:
    """Whether a model's block is computed by fused kernels around the operator, too.

    ValueError where those cannot run on the device of x.
    """
    return implementation in WHOLE_BLOCKS and bool(selected_implementation(implementation, x))


def _operator(implementation: str, *inputs: Tensor | None) -> GlaFunction:
    operator: GlaFunction = load_operator("gla", selected_implementation(implementation, *inputs))
    return operator


def _native(form: str, implementation: str, *inputs: Tensor) -> Callable[..., Tensor] | None:
    """The implementation's own operator for gates in this form, if it has one."""
    name = selected_implementation(implementation, *inputs)
    if form not in NATIVE_GATES.get(name, ()):
        return None
    operator: Callable[..., Tensor] = getattr(torch.ops.vigbench, f"{define('gla', name)}_{form}")
    return operator


def selected_implementation(implementation: str, *inputs: Tensor | None) -> str:
    """The name of the code that computes these inputs, see `dispatch.selected_implementation`."""
    return dispatch.selected_implementation("gla", implementation, *inputs)


def _check_low_rank(
    q: Tensor, a: Tensor, weight: Tensor, bias: Tensor, gates: tuple[int, ...]
) -> tuple[Tensor, Tensor, Tensor]:
    """What logits of this shape are computed from, in the dtype of q."""
    if a.shape[:2] != q.shape[:2] or weight.shape != (*gates, a.shape[-1]) or bias.shape != gates:
        words = ", ".join(("2", "heads", "key_dim")[-len(gates) :])
        raise ValueError(
            f"a is {tuple(a.shape)}, weight {tuple(weight.shape)} and bias {tuple(bias.shape)} but q is "
            f"{tuple(q.shape)}: pass (batch, length, rank), ({words}, rank) and ({words})"
        )
    dtype = q.dtype
    if not a.dtype == weight.dtype == bias.dtype == dtype:  # autocast's cast of a linear layer's parameters
        a, weight, bias = a.to(dtype), weight.to(dtype), bias.to(dtype)
    return a, weight, bias


def _log_decays(a: Tensor, weight: Tensor, bias: Tensor, normalizer: float) -> Tensor:
    """(batch, length, directions, heads, key_dim)."""
    gates = F.logsigmoid(F.linear(a, weight.flatten(0, 2), bias.flatten()))  # logits without a name are freed here
    gates = gates.div_(normalizer)
    return gates.view(*gates.shape[:-1], *bias.shape)


def check_inputs(q: Tensor, k: Tensor, v: Tensor, gates: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """q, k and v, in one dtype under autocast; ValueError where shapes, dtypes or devices do not fit."""
    require_shapes(q, k, v)
    for name, x in gates.items():
        if x.shape != q.shape:
            raise ValueError(f"{name} is {tuple(x.shape)} but q is {tuple(q.shape)}: they must have the same shape")
    q, k, v = in_one_dtype(q, k, v)
    require_placement({"q": q, "k": k, "v": v}, gates)
    return q, k, v
