"""Scalar-decay linear attention, retention and SSD for users: defaults and the choice of implementation."""

import torch
from torch import Tensor

from vigbench.ops import dispatch
from vigbench.ops.dispatch import define, load_operator
from vigbench.ops.inputs import checked_with_one_gate_a_head
from vigbench.ops.scalar_gla.check import check_ssd
from vigbench.ops.scalar_gla.operator import ScalarGlaFunction


def bidirectional_scalar_gla(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    g_fwd: Tensor,
    g_bwd: Tensor,
    scale: float | None = None,
    implementation: str = "auto",
) -> Tensor:
    """Mean of linear attention with one decay per head and token, from first to last token and from last to first.

    Forward: S_t = exp(g_fwd_t) S_(t-1) + k_t v_t^T, o_t = scale q_t S_t (retention, arXiv 2307.08621; Mamba-2, arXiv
    2405.21060); backward: the same from the last token, with g_bwd_t applied where the state arrives. The current token
    counts once in each direction. Differentiable.

    Args:
        q, k: queries and keys, (batch, length, heads, key_dim).
        v: values, (batch, length, heads, value_dim), dtype of q.
        g_fwd, g_bwd: log-decays <= 0, -inf included, (batch, length, heads), dtype of q or float32.
        scale: factor on the scores, by default key_dim ** -0.5.
        implementation: a name from `list_implementations("scalar_gla")`, or "auto" for the first one the device
            supports.

    Returns:
        Like v. Sums are kept in float32 for half precision.

    Raises:
        ValueError: shapes, dtypes or devices do not fit, the implementation is unknown or cannot run here, or, on a
            CPU, a log-decay is positive.
    """
    q, k, v = checked_with_one_gate_a_head(q, k, v, {"g_fwd": g_fwd, "g_bwd": g_bwd})
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    return _operator(implementation, q, k, v, g_fwd, g_bwd)(q, k, v, g_fwd, g_bwd, scale / 2)


def scalar_gla(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    g: Tensor,
    scale: float | None = None,
    reverse: bool = False,
    implementation: str = "auto",
) -> Tensor:
    """The same in one direction, from the last token to the first if `reverse`.

    Arguments, result and errors as in `bidirectional_scalar_gla`, with `g` the log-decays of the one direction.
    """
    q, k, v = checked_with_one_gate_a_head(q, k, v, {"g": g})
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    g_fwd, g_bwd = (None, g) if reverse else (g, None)
    return _operator(implementation, q, k, v, g_fwd, g_bwd)(q, k, v, g_fwd, g_bwd, scale)


def retention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor | None = None,
    scale: float | None = None,
    reverse: bool = False,
    implementation: str = "auto",
) -> Tensor:
    """`scalar_gla` whose decay is that of a head, the same for all tokens (RetNet, arXiv 2307.08621, equation 8).

    log_decay is (heads,), in q's dtype or float32; None: log(1 - 2^(-5 - head)). It is read as it is and never repeated
    for every token. What RetNet's layer does around it (rotation, norm, gate) is not part of it. Other arguments,
    result and errors as in `scalar_gla`.
    """
    return scalar_gla(q, k, v, _head_decays(q, log_decay), scale, reverse, implementation)


def bidirectional_retention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor | None = None,
    scale: float | None = None,
    implementation: str = "auto",
) -> Tensor:
    """Mean of `retention` in both directions, with the same decays."""
    g = _head_decays(q, log_decay)
    return bidirectional_scalar_gla(q, k, v, g, g, scale, implementation)


def ssd(
    x: Tensor,
    dt: Tensor,
    a: Tensor,
    b: Tensor,
    c: Tensor,
    d: Tensor | None = None,
    reverse: bool = False,
    implementation: str = "auto",
) -> Tensor:
    """Mamba-2's state space model with one decay per head and token (SSD, arXiv 2405.21060, section 3).

    h_t = exp(dt_t a) h_(t-1) + dt_t x_t b_t^T, y_t = h_t c_t + d x_t; from the last token to the first if `reverse`.

    Args:
        x: (batch, length, heads, head_dim).
        dt: step sizes > 0, after softplus and bias, (batch, length, heads), dtype of x or float32.
        a: < 0, (heads,), dtype of x or float32.
        b, c: (batch, length, groups, state), dtype of x: head h reads group h // (heads / groups).
        d: (heads,), dtype of x or float32, or None.
        reverse: the direction.
        implementation: a name from `list_implementations("scalar_gla")`, or "auto".

    Returns:
        Like x. Sums are kept in float32 for half precision.

    Raises:
        ValueError: shapes, dtypes or devices do not fit, heads are no multiple of groups, the implementation is unknown
            or cannot run here, or, on a CPU, a dt a is positive.
    """
    x, b, c = check_ssd(x, dt, a, b, c, d)
    name = selected_implementation(implementation, x, dt, a, b, c, d)
    if defined := define("scalar_gla", name):
        out: Tensor = getattr(torch.ops.vigbench, f"{defined}_ssd")(x, dt, a, b, c, d, reverse)
        return out
    from vigbench.ops.scalar_gla.external import SSD_PEERS

    return SSD_PEERS[name](x, dt, a, b, c, d, reverse)


def selected_implementation(implementation: str, *inputs: Tensor | None) -> str:
    """The name of the code that computes these inputs, see `dispatch.selected_implementation`."""
    return dispatch.selected_implementation("scalar_gla", implementation, *inputs)


def _operator(implementation: str, *inputs: Tensor | None) -> ScalarGlaFunction:
    operator: ScalarGlaFunction = load_operator("scalar_gla", selected_implementation(implementation, *inputs))
    return operator


def _head_decays(q: Tensor, log_decay: Tensor | None) -> Tensor:
    """Log-decays of heads as those of every token, (batch, length, heads): a view."""
    batch, length, heads = q.shape[:3] if q.ndim == 4 else (1, 1, 1)  # what q should be `check_inputs` says
    if log_decay is None:
        exponents = torch.arange(-5, -5 - heads, -1, dtype=torch.float64, device=q.device)
        log_decay = torch.log1p(-torch.exp2(exponents)).to(torch.promote_types(q.dtype, torch.float32))
    elif log_decay.shape != (heads,):
        raise ValueError(f"log_decay is {tuple(log_decay.shape)}, but q has {heads} heads: pass one number a head")
    return log_decay.expand(batch, length, heads)
