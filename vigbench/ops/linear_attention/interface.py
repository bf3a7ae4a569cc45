"""Linear attention for users: checks, defaults and the choice of implementation."""

from torch import Tensor

from vigbench.ops.dispatch import load_operator, selected_implementation
from vigbench.ops.gla.interface import check_inputs
from vigbench.ops.linear_attention.operator import LinearAttentionFunction


def linear_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    normalised: bool = False,
    scale: float | None = None,
    implementation: str = "auto",
) -> Tensor:
    """Linear attention without gates in which every token sees all: o_i = scale sum over j of (q_i . k_j) v_j.

    Normalised, scores are divided by their sum over j instead, and 1e-6 is added to their mean for that, as in MLLA
    (arXiv 2405.16605) and LinFusion (arXiv 2409.02097): q and k have to be positive features, which are the
    caller's, such as elu(x) + 1. Differentiable.

    Args:
        q, k: queries and keys, (batch, length, heads, key_dim).
        v: values, (batch, length, heads, value_dim), dtype of q.
        normalised: whether scores are divided by their sum.
        scale: factor on the scores, by default key_dim ** -0.5; a normalised one takes none.
        implementation: a name from `list_implementations("linear_attention")`, or "auto" for the first one the device
            supports.

    Returns:
        Like v. Sums are kept in float32 for half precision.

    Raises:
        ValueError: shapes, dtypes or devices do not fit, a scale is given to a normalised one, or the implementation is
            unknown or cannot run here.
    """
    q, k, v = check_inputs(q, k, v, {})
    if normalised and scale is not None:
        raise ValueError("a scale divides out where scores are normalised: leave it out, or pass normalised=False")
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    operator: LinearAttentionFunction = load_operator(
        "linear_attention", selected_implementation("linear_attention", implementation, q, k, v)
    )
    return operator(q, k, v, scale, normalised)


def measured_normalised(q: Tensor, k: Tensor, v: Tensor, *, implementation: str) -> Tensor:
    """As it is measured with its norm."""
    return linear_attention(q, k, v, normalised=True, implementation=implementation)
