"""The gated delta rule for users: checks, defaults and the choice of implementation."""

from torch import Tensor

from vigbench.ops import dispatch
from vigbench.ops.dispatch import load_operator
from vigbench.ops.gated_delta.operator import DeltaFunction
from vigbench.ops.inputs import checked_with_one_gate_a_head


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
    q, k, v = checked_with_one_gate_a_head(
        q, k, v, {"g_fwd": g_fwd, "g_bwd": g_bwd, "beta_fwd": beta_fwd, "beta_bwd": beta_bwd}
    )
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
    q, k, v = checked_with_one_gate_a_head(q, k, v, {"g": g, "beta": beta})
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
