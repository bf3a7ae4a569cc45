"""ReGLA for users: checks, defaults and the choice of implementation."""

import math

from torch import Tensor

from vigbench.ops.dispatch import load_operator, selected_implementation
from vigbench.ops.gla.interface import check_inputs
from vigbench.ops.regla.operator import ReglaFunction


def bidirectional_regla(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    x_fwd: Tensor,
    y_fwd: Tensor,
    x_bwd: Tensor,
    y_bwd: Tensor,
    scale: float | None = None,
    implementation: str = "auto",
) -> Tensor:
    """Mean of ReGLA (arXiv 2502.01578) from the first token to the last and from the last to the first.

    Forward: S_t = diag(F_t) S_(t-1) + phi_k(k_t) v_t^T, o_t = scale phi_q(q_t) S_t, with the refined gate
    F = (1 - r) f^2 + r (1 - (1 - f)^2), f = sigmoid(x_fwd), r = sigmoid(y_fwd), and the features
    phi_q = exp(q_t - max over channels), phi_k = exp(k_t - max over channels and all tokens of the head). Gradients go
    through the maxima. There is no sum that normalises: a norm behind the operator does. Backward: the same from the
    last token, with logits of its own. The current token counts once in each direction. Differentiable.

    The gate acts on key channels, as in GLA, on whose kernels the paper says it is implemented. Copies of the paper
    print a gate on value channels instead, S_t = F_t * S_(t-1) + v_t phi_k(k_t)^T with the same F in each column:
    that is another operator.

    Args:
        q, k: queries and keys before their feature maps, (batch, length, heads, key_dim).
        v: values, (batch, length, heads, value_dim), dtype of q.
        x_fwd, x_bwd: finite logits of the forget gates f, shape of q, dtype of q or float32.
        y_fwd, y_bwd: finite logits of the refining gates r, likewise.
        scale: factor on the scores, by default 1 / (e sqrt(key_dim (e^2 - 1))): then phi(q) . phi(k) of normal q and k
            would have variance 1, were it not for the maxima.
        implementation: a name from `list_implementations("regla")`, or "auto" for the first one the device supports.

    Returns:
        Like v. Sums, features and log-decays are kept in float32 for half precision.

    Raises:
        ValueError: shapes, dtypes or devices do not fit, or the implementation is unknown or cannot run here.
    """
    logits = {"x_fwd": x_fwd, "y_fwd": y_fwd, "x_bwd": x_bwd, "y_bwd": y_bwd}
    q, k, v = check_inputs(q, k, v, logits)
    scale = default_scale(q.shape[-1]) if scale is None else scale
    return _compute(implementation, q, k, v, x_fwd, y_fwd, x_bwd, y_bwd, scale / 2)


def regla(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    x: Tensor,
    y: Tensor,
    scale: float | None = None,
    reverse: bool = False,
    implementation: str = "auto",
) -> Tensor:
    """ReGLA in one direction, from the last token to the first if `reverse`.

    Arguments, result and errors as in `bidirectional_regla`, with `x` and `y` the logits of the one direction.
    """
    q, k, v = check_inputs(q, k, v, {"x": x, "y": y})
    scale = default_scale(q.shape[-1]) if scale is None else scale
    logits = (None, None, x, y) if reverse else (x, y, None, None)
    return _compute(implementation, q, k, v, *logits, scale)


def default_scale(key_dim: int) -> float:
    """One over the standard deviation of the sum over key channels of e^a e^b, a and b standard normal."""
    return 1 / (math.e * math.sqrt(key_dim * (math.e**2 - 1)))


def _compute(implementation: str, q: Tensor, k: Tensor, v: Tensor, *rest: Tensor | float | None) -> Tensor:
    logits = [x for x in rest if isinstance(x, Tensor)]
    operator: ReglaFunction = load_operator("regla", selected_implementation("regla", implementation, q, k, v, *logits))
    return operator(q, k, v, *rest)  # type: ignore[arg-type]
