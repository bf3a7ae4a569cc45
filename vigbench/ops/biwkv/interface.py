"""Bi-WKV for users: checks and the choice of implementation."""

import torch
from torch import Tensor
from torch._ops import OpOverload

from vigbench.ops.biwkv.operator import Operator
from vigbench.ops.registry import get_implementation, select_implementation

DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


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
    return _operator(implementation, w, u, k, v)(w, u, k, v)


def _operator(implementation: str, *inputs: Tensor) -> Operator:
    name = selected_implementation(implementation, *inputs)
    operator: Operator = getattr(torch.ops.vigbench, _define(name))
    return operator


def selected_implementation(implementation: str, *inputs: Tensor) -> str:
    """The name of the code that computes inputs w, u, k, v: what "auto" means for them, or the implementation itself.

    ValueError where it cannot run on their device.
    """
    k = inputs[2]
    if implementation == "auto" and k.dtype == torch.float64:
        implementation = "torch_scan"  # Triton kernels sum in float32
    training = torch.is_grad_enabled() and any(x.requires_grad for x in inputs)
    name: str = _selected_name(implementation, k.device.type, training)
    return name


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]  # torch.compile need not trace the registry
def _selected_name(implementation: str, device: str, training: bool) -> str:
    return select_implementation("biwkv", implementation, device, training).name


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _define(name: str) -> str:
    target = get_implementation("biwkv", name).load()  # importing it defines the operator
    assert isinstance(target, OpOverload)
    return str(target._schema.name).removeprefix("vigbench::")


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
    if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
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
