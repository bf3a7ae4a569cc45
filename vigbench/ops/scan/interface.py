"""The selective scan for users: checks, defaults and the choice of implementation."""

import torch
from torch import Tensor

from vigbench.ops import dispatch
from vigbench.ops.dispatch import autocasts, load_operator
from vigbench.ops.precision import DTYPES
from vigbench.ops.scan.operator import ScanArguments, ScanFunction


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    reverse: bool = False,
    implementation: str = "auto",
) -> Tensor:
    """Mamba's selective scan from the first token to the last, or from the last to the first if `reverse`.

    h_t = exp(s_t A) h_(t-1) + s_t B_t u_t, y_t = <C_t, h_t> + D u_t, result y_t silu(z_t), with the step
    s = delta + delta_bias, or its softplus (Mamba, arXiv 2312.00752, algorithm 2; B as released, without the paper's
    zero-order hold). Differentiable.

    Args:
        u, delta: (batch, length, dim), one dtype.
        A: (dim, state), as a rule negative; any floating dtype, like D and delta_bias.
        B, C: (batch, length, state), dtype of u.
        D, delta_bias: (dim,).
        z: gate, (batch, length, dim), dtype of u.
        delta_softplus: whether the step is softplus(delta + delta_bias).
        implementation: a name from `list_implementations("scan")`, or "auto" for the first one the device supports.

    Returns:
        Like u. Sums are kept in float32 for half precision.

    Raises:
        ValueError: shapes, dtypes or devices do not fit, or the implementation is unknown or cannot run here.
    """
    u, delta, A, B, C = (x.unsqueeze(0) for x in (u, delta, A, B, C))
    D, delta_bias = (None if x is None else x.unsqueeze(0) for x in (D, delta_bias))
    return _scan(ScanArguments(u, delta, A, B, C, D, z, delta_bias, 1.0, delta_softplus, reverse), implementation)


def bidirectional_selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    implementation: str = "auto",
) -> Tensor:
    """Mean of a scan from the first token to the last and one from the last to the first (Vim, arXiv 2401.09417).

    All but z has a leading dimension of 2, the forward direction first: u, delta (2, batch, length, dim), A (2, dim,
    state), B, C (2, batch, length, state), D, delta_bias (2, dim). Everything is stored at its own token, nothing is
    flipped. z is (batch, length, dim), and so is the result. Otherwise as `selective_scan`.
    """
    if u.ndim != 4 or u.shape[0] != 2:
        raise ValueError(f"u is {tuple(u.shape)}: pass (2, batch, length, dim), the forward direction first")
    return _scan(ScanArguments(u, delta, A, B, C, D, z, delta_bias, 0.5, delta_softplus, False), implementation)


def _scan(given: ScanArguments, implementation: str) -> Tensor:
    if autocasts(given.u.device.type):
        given = _of_one_dtype(given)
    _check(given)
    operator: ScanFunction = load_operator("scan", selected_implementation(implementation, *given[:8]))
    return operator(*given)


def _of_one_dtype(given: ScanArguments) -> ScanArguments:
    """Tokens' tensors in the widest of their dtypes."""
    u, delta, B, C, z = given.u, given.delta, given.B, given.C, given.z
    dtype = u.dtype
    for x in (delta, B, C, z):
        dtype = dtype if x is None else torch.promote_types(dtype, x.dtype)
    u, delta, B, C = (x.to(dtype) for x in (u, delta, B, C))
    return given._replace(u=u, delta=delta, B=B, C=C, z=None if z is None else z.to(dtype))


def selected_implementation(implementation: str, *inputs: Tensor | None) -> str:
    """The name of the code that computes these inputs, see `dispatch.selected_implementation`."""
    return dispatch.selected_implementation("scan", implementation, *inputs)


def _check(given: ScanArguments) -> None:
    u, delta, A, B, C, D, z, delta_bias, *_ = given
    if u.ndim != 4 or 0 in u.shape[2:] or A.shape[-1:] == (0,):
        raise ValueError(
            f"u is {tuple(u.shape[1:])}: pass (batch, length, dim), with at least one token, channel and state"
        )
    directions, batch, length, dim = u.shape
    state = A.shape[-1] if A.ndim else 0
    wanted = {
        "delta": (delta, u.shape),
        "A": (A, (directions, dim, state)),
        "B": (B, (directions, batch, length, state)),
        "C": (C, (directions, batch, length, state)),
        "D": (D, (directions, dim)),
        "z": (z, u.shape[1:]),
        "delta_bias": (delta_bias, (directions, dim)),
    }
    for name, (x, shape) in wanted.items():
        if x is not None and x.shape != shape:
            raise ValueError(
                f"{name} is {tuple(x.shape)} but u is {tuple(u.shape)} and A {tuple(A.shape)}: pass {tuple(shape)}"
            )
    for name, x in {"u": u, **{name: x for name, (x, _) in wanted.items()}}.items():
        if x is None:
            continue
        if x.device != u.device:
            raise ValueError(f"{name} is on {x.device} but u is on {u.device}: move them to one device")
        if x.dtype not in DTYPES or (x.dtype != u.dtype and name not in ("A", "D", "delta_bias")):
            allowed = "a floating dtype" if name in ("A", "D", "delta_bias") else "u's dtype"
            raise ValueError(f"{name} is {x.dtype} but u is {u.dtype}: give it {allowed}")
