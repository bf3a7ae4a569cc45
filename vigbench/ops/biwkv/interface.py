"""Bi-WKV for users: checks and the choice of implementation."""

import torch
from torch import Tensor

from vigbench.ops import dispatch
from vigbench.ops.biwkv.operator import BiWkvFunction
from vigbench.ops.dispatch import autocasts, load_operator
from vigbench.ops.precision import DTYPES


def bi_wkv(w: Tensor, u: Tensor, k: Tensor, v: Tensor, implementation: str = "auto") -> Tensor:
    """A mean of all tokens' values for each token, per channel: linear attention of Vision-RWKV.

    y_t = sum_i p_ti v_i, where p_t is the softmax over i of L_ti, and L_ti = k_i - w (|t - i| - 1) for i != t,
    L_tt = k_t + u (Vision-RWKV, arXiv 2403.02308). Differentiable.

    Args:
        w: decay per token of distance, (channels,), of either sign; the model's parameter divided by the length.
        u: bonus of the token itself, (channels,); the model's parameter divided by the length.
        k: keys, (batch, length, channels), of any size up to 1e38.
        v: values, shape and dtype of k.
        implementation: a name from `list_implementations("biwkv")`, or "auto" for the first one the device supports.

    w and u have the dtype of k or float32. Nothing overflows, whatever their size.

    Returns:
        Like v. Sums are kept in float32 for half precision.

    Raises:
        ValueError: shapes, dtypes or devices do not fit, or the implementation is unknown or cannot run here.
    """
    k, v = _check(w, u, k, v)
    name = dispatch.selected_implementation("biwkv", implementation, k, v, w, u)
    operator: BiWkvFunction = load_operator("biwkv", name)
    return operator(w, u, k, v)


def _check(w: Tensor, u: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    if k.ndim != 3 or 0 in k.shape[1:]:
        raise ValueError(f"k is {tuple(k.shape)}: pass (batch, length, channels), with at least one of each but batch")
    if v.shape != k.shape:
        raise ValueError(f"v is {tuple(v.shape)} but k is {tuple(k.shape)}: they must have the same shape")
    for name, x in {"w": w, "u": u}.items():
        if x.shape != k.shape[2:]:
            raise ValueError(
                f"{name} is {tuple(x.shape)} but k is {tuple(k.shape)}: pass ({k.shape[2]},), one a channel"
            )
    kind = k.device.type
    if autocasts(kind):
        dtype = torch.promote_types(k.dtype, v.dtype)
        k, v = k.to(dtype), v.to(dtype)
    for name, x in {"w": w, "u": u, "k": k, "v": v}.items():
        if x.device != k.device:
            raise ValueError(f"{name} is on {x.device} but k is on {k.device}: move them to one device")
        if x.dtype not in DTYPES or (x.dtype != k.dtype and (name in "kv" or x.dtype != torch.float32)):
            allowed = (
                "k's dtype, one of float16, bfloat16, float32, float64" if name in "kv" else "k's dtype or float32"
            )
            raise ValueError(f"{name} is {x.dtype} but k is {k.dtype}: give it {allowed}")
    return k, v
