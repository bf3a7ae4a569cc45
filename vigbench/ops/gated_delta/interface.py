"""The gated delta rule for users: checks, defaults and the choice of implementation."""

import torch
from torch import Tensor

from vigbench.ops import dispatch
from vigbench.ops.dispatch import autocasts, load_operator
from vigbench.ops.gated_delta.operator import DeltaFunction
from vigbench.ops.precision import DTYPES


def bidirectional_gated_delta(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    g_fwd: Tensor,
    g_bwd: Tensor,
    beta_fwd: Tensor,
    beta_bwd: Tensor,
    scale: float | None = None,
    implementation: str = "auto",
) -> Tensor:
    """Mean of the gated delta rule from the first token to the last and from the last to the first.

    Each direction is a complete `gated_delta` with gates of its own; the current token counts once in each. The paper's
    is causal: two directions are made of it as ViG makes them of GLA (arXiv 2405.18425).

    Args:
        q, k, v, scale, implementation: as in `gated_delta`.
        g_fwd, g_bwd: log-decays <= 0 of each direction, (batch, length, heads), dtype of q or float32.
        beta_fwd, beta_bwd: strengths of writing of each direction, likewise.

    Returns:
        Like v.

    Raises:
        ValueError: as `gated_delta`.
    """
    q, k, v = _check(q, k, v, {"g_fwd": g_fwd, "g_bwd": g_bwd, "beta_fwd": beta_fwd, "beta_bwd": beta_bwd})
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    operator = _operator(implementation, q, k, v, g_fwd, g_bwd, beta_fwd, beta_bwd)
    return operator(q, k, v, g_fwd, g_bwd, beta_fwd, beta_bwd, scale / 2)


def gated_delta(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    g: Tensor,
    beta: Tensor,
    scale: float | None = None,
    reverse: bool = False,
    implementation: str = "auto",
) -> Tensor:
    """The gated delta rule in one direction (Gated DeltaNet, arXiv 2412.06464, equation 10).

    S' = exp(g_t) S_(t-1); S_t = S' + beta_t k_t (v_t - S'^T k_t)^T; o_t = scale q_t S_t: a state decays, what it lacks
    of the value under the token's key is written, and it is read. With g = 0 it is DeltaNet. Differentiable.

    Args:
        q, k: queries and keys, (batch, length, heads, key_dim). Keys should have unit length: longer ones make the
            state grow where beta |k|^2 exceeds 2.
        v: values, (batch, length, heads, value_dim), dtype of q.
        g: log-decays <= 0, -inf included, (batch, length, heads), dtype of q or float32.
        beta: strengths of writing, between 0 and 1, (batch, length, heads), dtype of q or float32.
        scale: factor on the output, by default key_dim ** -0.5.
        reverse: from the last token to the first; g_t applies where the state arrives at t.
        implementation: a name from `list_implementations("gated_delta")`, or "auto" for the first one the device
            supports.

    Returns:
        Like v. Sums are kept in float32 for half precision.

    Raises:
        ValueError: shapes, dtypes or devices do not fit, or the implementation is unknown or cannot run here.
    """
    q, k, v = _check(q, k, v, {"g": g, "beta": beta})
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    g_fwd, g_bwd, beta_fwd, beta_bwd = (None, g, None, beta) if reverse else (g, None, beta, None)
    operator = _operator(implementation, q, k, v, g, beta)
    return operator(q, k, v, g_fwd, g_bwd, beta_fwd, beta_bwd, scale)


def selected_implementation(implementation: str, *inputs: Tensor | None) -> str:
    """The name of the code that computes these inputs, see `dispatch.selected_implementation`."""
    return dispatch.selected_implementation("gated_delta", implementation, *inputs)


def _operator(implementation: str, *inputs: Tensor | None) -> DeltaFunction:
    operator: DeltaFunction = load_operator("gated_delta", selected_implementation(implementation, *inputs))
    return operator


def _check(q: Tensor, k: Tensor, v: Tensor, gates: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    shape, device, dtype = q.shape, q.device, q.dtype  # looked up once: each costs the host
    if len(shape) != 4 or 0 in shape[1:] or v.shape[-1:] == (0,):
        raise ValueError(
            f"q is {tuple(shape)}: pass (batch, length, heads, key_dim), with at least one of each but batch"
        )
    if k.shape != shape:
        raise ValueError(f"k is {tuple(k.shape)} but q is {tuple(shape)}: they must have the same shape")
    if v.ndim != 4 or v.shape[:3] != shape[:3]:
        raise ValueError(f"v is {tuple(v.shape)} but q is {tuple(shape)}: only the last dimension may differ")
    for name, x in gates.items():
        if x.shape != shape[:3]:
            raise ValueError(f"{name} is {tuple(x.shape)} but q is {tuple(shape)}: pass (batch, length, heads)")
    if autocasts(device.type):
        dtype = torch.promote_types(torch.promote_types(q.dtype, k.dtype), v.dtype)
        q, k, v = q.to(dtype), k.to(dtype), v.to(dtype)
    for name, x in {"q": q, "k": k, "v": v, **gates}.items():
        if x.device != device:
            raise ValueError(f"{name} is on {x.device} but q is on {device}: move them to one device")
        if x.dtype not in DTYPES or (x.dtype != dtype and (name not in gates or x.dtype != torch.float32)):
            allowed = (
                "q's dtype or float32" if name in gates else "q's dtype, one of float16, bfloat16, float32, float64"
            )
            raise ValueError(f"{name} is {x.dtype} but q is {dtype}: give it {allowed}")
    return q, k, v
