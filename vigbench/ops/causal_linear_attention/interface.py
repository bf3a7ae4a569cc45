"""Causal linear attention for users: checks, defaults and the choice of implementation."""

from torch import Tensor

from vigbench.ops.causal_linear_attention.operator import CausalLinearAttentionFunction
from vigbench.ops.dispatch import load_operator, selected_implementation
from vigbench.ops.gla.interface import check_inputs


def causal_linear_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    scale: float | None = None,
    reverse: bool = False,
    implementation: str = "auto",
) -> Tensor:
    """Linear attention without gates or a norm: S_t = S_(t-1) + k_t v_t^T, o_t = scale q_t S_t.

    It is GLA that forgets nothing, and what GLA's paper (arXiv 2312.06635, section 3) times against FlashAttention-2.
    Differentiable.

    Args:
        q, k: queries and keys, (batch, length, heads, key_dim).
        v: values, (batch, length, heads, value_dim), dtype of q.
        scale: factor on the scores, by default key_dim ** -0.5.
        reverse: from the last token to the first.
        implementation: a name from `list_implementations("causal_linear_attention")`, or "auto" for the first one the
            device supports.

    Returns:
        Like v. Sums are kept in float32 for half precision.

    Raises:
        ValueError: shapes, dtypes or devices do not fit, or the implementation is unknown or cannot run here.
    """
    q, k, v = check_inputs(q, k, v, {})
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    operator: CausalLinearAttentionFunction = load_operator(
        "causal_linear_attention", selected_implementation("causal_linear_attention", implementation, q, k, v)
    )
    return operator(q, k, v, scale, reverse)
