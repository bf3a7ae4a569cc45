"""Whether inputs of an SSD fit together: shapes, devices and dtypes. Nothing waits for a device."""

from torch import Tensor

from vigbench.ops.inputs import in_one_dtype, require_placement


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
    x, b, c = in_one_dtype(x, b, c)
    require_placement({"x": x, "b": b, "c": c}, {"dt": dt, **numbers})
    return x, b, c
