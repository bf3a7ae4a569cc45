"""Whether the inputs of an operator on sequences fit together: shapes, devices, dtypes and decays."""

from collections.abc import Mapping

import torch
from torch import Tensor

from vigbench.ops.dispatch import autocasts
from vigbench.ops.precision import DTYPES


def require_shapes(q: Tensor, k: Tensor, v: Tensor) -> None:
    """ValueError unless q and k are (batch, length, heads, key_dim), not empty, and v has other channels at most."""
    shape = q.shape
    if len(shape) != 4 or 0 in shape[1:] or v.shape[-1:] == (0,):
        raise ValueError(
            f"q is {tuple(shape)}: pass (batch, length, heads, key_dim), with at least one of each but batch"
        )
    if k.shape != shape:
        raise ValueError(f"k is {tuple(k.shape)} but q is {tuple(shape)}: they must have the same shape")
    if v.ndim != 4 or v.shape[:3] != shape[:3]:
        raise ValueError(f"v is {tuple(v.shape)} but q is {tuple(shape)}: only the last dimension may differ")


def in_one_dtype(first: Tensor, second: Tensor, third: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """They as autocast has them: in the widest dtype among them where it is on; else as they are."""
    if autocasts(first.device.type):
        dtype = torch.promote_types(torch.promote_types(first.dtype, second.dtype), third.dtype)
        first, second, third = first.to(dtype), second.to(dtype), third.to(dtype)
    return first, second, third


def require_placement(tensors: Mapping[str, Tensor], numbers: Mapping[str, Tensor]) -> None:
    """ValueError unless all are on the device of the first one, and in its dtype; `numbers` may be float32."""
    (first, like), *_ = tensors.items()
    device, dtype = like.device, like.dtype  # looked up once: each costs the host
    for name, x in {**tensors, **numbers}.items():
        if x.device != device:
            raise ValueError(f"{name} is on {x.device} but {first} is on {device}: move them to one device")
        if x.dtype not in DTYPES or (x.dtype != dtype and (name not in numbers or x.dtype != torch.float32)):
            allowed = (
                f"{first}'s dtype or float32"
                if name in numbers
                else f"{first}'s dtype, one of float16, bfloat16, float32, float64"
            )
            raise ValueError(f"{name} is {x.dtype} but {first} is {dtype}: give it {allowed}")


def checked_with_one_gate_a_head(
    q: Tensor, k: Tensor, v: Tensor, gates: Mapping[str, Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """q, k and v, in one dtype under autocast. ValueError where they, or gates (batch, length, heads), do not fit."""
    require_shapes(q, k, v)
    for name, g in gates.items():
        if g.shape != q.shape[:3]:
            raise ValueError(f"{name} is {tuple(g.shape)} but q is {tuple(q.shape)}: pass (batch, length, heads)")
    q, k, v = in_one_dtype(q, k, v)
    require_placement({"q": q, "k": k, "v": v}, gates)
    return q, k, v


def require_decays(
    *gates: Tensor | None, waits: bool = False, advice: str = "pass values <= 0, such as logsigmoid(x)"
) -> None:
    """ValueError where a log-decay is positive: on a CPU, where looking at it waits for nothing, or with `waits`.

    To be called by an implementation: what is compiled or counted has no values.
    """
    for g in gates:
        if g is None or not g.numel() or not (waits or g.device.type == "cpu"):
            continue
        if (largest := g.detach().amax().item()) > 0:
            raise ValueError(f"a log-decay is {largest:.3g}, but states decay: {advice}")
