"""Whether inputs fit together: shapes, devices and dtypes. Nothing waits for a device."""

from collections.abc import Mapping

import torch
from torch import Tensor

from vigbench.ops.dispatch import autocasts
from vigbench.ops.precision import DTYPES


def check_inputs(q: Tensor, k: Tensor, v: Tensor, gates: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """q, k and v, in one dtype under autocast. ValueError where they or the log-decays do not fit."""
    shape = q.shape
    if q.ndim != 4 or 0 in shape[1:] or v.shape[-1:] == (0,):
        raise ValueError(
            f"q is {tuple(shape)}: pass (batch, length, heads, key_dim), with at least one of each but batch"
        )
    if k.shape != shape:
        raise ValueError(f"k is {tuple(k.shape)} but q is {tuple(shape)}: they must have the same shape")
    if v.ndim != 4 or v.shape[:3] != shape[:3]:
        raise ValueError(f"v is {tuple(v.shape)} but q is {tuple(shape)}: only the last dimension may differ")
    for name, g in gates.items():
        if g.shape != shape[:3]:
            raise ValueError(f"{name} is {tuple(g.shape)} but q is {tuple(shape)}: pass (batch, length, heads)")
    q, k, v = _in_one_dtype(q, k, v)
    _check_placement({"q": q, "k": k, "v": v}, gates)
    return q, k, v


def check_ssd(
    x: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """x, b and c, in one dtype under autocast. ValueError where inputs of an SSD do not fit."""
    if x.ndim != 4 or 0 in x.shape[1:]:
        raise ValueError(
            f"x is {tuple(x.shape)}: pass (batch, length, heads, head_dim), with at least one of each but batch"
        )
    heads = x.shape[2]
    if dt.shape != x.shape[:3]:
        raise ValueError(f"dt is {tuple(dt.shape)} but x is {tuple(x.shape)}: pass (batch, length, heads)")
    if b.ndim != 4 or b.shape[:2] != x.shape[:2] or 0 in b.shape[1:] or c.shape != b.shape:
        raise ValueError(
            f"b is {tuple(b.shape)} and c {tuple(c.shape)} but x is {tuple(x.shape)}: pass (batch, length, groups, "
            "state) for both"
        )
    if heads % b.shape[2] != 0:
        raise ValueError(
            f"{heads} heads are no multiple of {b.shape[2]} groups: pass b and c of as many groups as divide the heads"
        )
    numbers = {"a": a} if d is None else {"a": a, "d": d}
    for name, one in numbers.items():
        if one.shape != (heads,):
            raise ValueError(f"{name} is {tuple(one.shape)} but x has {heads} heads: pass one number a head")
    x, b, c = _in_one_dtype(x, b, c)
    _check_placement({"x": x, "b": b, "c": c}, {"dt": dt, **numbers})
    return x, b, c


def _in_one_dtype(*tensors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    first, second, third = tensors
    if autocasts(first.device.type):
        dtype = torch.promote_types(torch.promote_types(first.dtype, second.dtype), third.dtype)
        first, second, third = first.to(dtype), second.to(dtype), third.to(dtype)
    return first, second, third


def _check_placement(tensors: Mapping[str, Tensor], numbers: Mapping[str, Tensor]) -> None:
    """ValueError unless all are on the device of the first one, and in its dtype; `numbers` may be float32."""
    (first, like), *_ = tensors.items()
    for name, x in {**tensors, **numbers}.items():
        if x.device != like.device:
            raise ValueError(f"{name} is on {x.device} but {first} is on {like.device}: move them to one device")
        if x.dtype not in DTYPES or (x.dtype != like.dtype and (name not in numbers or x.dtype != torch.float32)):
            allowed = (
                f"{first}'s dtype or float32"
                if name in numbers
                else f"{first}'s dtype, one of float16, bfloat16, float32, float64"
            )
            raise ValueError(f"{name} is {x.dtype} but {first} is {like.dtype}: give it {allowed}")
