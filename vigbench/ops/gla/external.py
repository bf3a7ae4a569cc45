"""The peer: flash-linear-attention's chunk_gla, used both ways."""

import re
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from torch import Tensor

from vigbench.ops.gla.torch_chunk import torch_chunk

PACKAGES = ("fla-core", "flash-linear-attention")  # the first has the kernels; before it there was the second alone
WITHOUT_BLOCK_POINTERS = (0, 5, 2)  # the first release that runs without tl.make_block_ptr

_first_call = True  # of this process


def fla(q: Tensor, k: Tensor, v: Tensor, g_fwd: Tensor | None, g_bwd: Tensor | None, scale: float) -> Tensor:
    """chunk_gla on the sequence, plus chunk_gla on the flipped one, flipped back; autograd is its own.

    Log-decays have to be finite: a single -inf makes its whole output NaN. On the meta device, where costs are counted,
    torch_chunk's shapes and arithmetic stand for it: same chunks.

    Raises:
        ValueError: if a log-decay is -inf in the first call of a process, or in any in torch's anomaly mode; others are
            not looked at, for that would wait for the device.
    """
    if q.device.type == "meta":
        return torch_chunk(q, k, v, g_fwd, g_bwd, scale)
    if _first_call:
        _require_finite(g_fwd, g_bwd)
    outputs: list[Tensor] = []
    if g_fwd is not None:
        outputs.append(_chunk_gla(q, k, v, g_fwd, scale))
    if g_bwd is not None:
        outputs.append(_chunk_gla(*(x.flip(1) for x in (q, k, v, g_bwd)), scale).flip(1))
    return sum(outputs[1:], outputs[0])


def unsupported_reason() -> str | None:
    """Why the installed flash-linear-attention cannot run here; None where it can."""
    import triton.language as tl

    installed = _installed_version()
    if hasattr(tl, "make_block_ptr") or installed is None or _numbers(installed) >= WITHOUT_BLOCK_POINTERS:
        return None
    newer = ".".join(map(str, WITHOUT_BLOCK_POINTERS))
    return (
        f"flash-linear-attention {installed} uses tl.make_block_ptr, which this Triton no longer has: "
        f"pip install 'flash-linear-attention>={newer}', or install triton < 3.9 with the torch that goes with it"
    )


def _installed_version() -> str | None:
    for package in PACKAGES:
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return None  # a checkout on the path: taken for a new one


def _numbers(release: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", release)[:3])


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _require_finite(*gates: Tensor | None) -> None:
    """ValueError if a log-decay is -inf: reading the answer back waits for the device, unless a graph is captured."""
    global _first_call
    _first_call = False
    for g in gates:
        if g is None or (g.is_cuda and torch.cuda.is_current_stream_capturing()):
            continue
        if g.isneginf().any():
            raise ValueError(
                "a log-decay is -inf, with which flash-linear-attention's chunk_gla returns NaN everywhere: clamp the "
                "gates to finite values, or choose another implementation"
            )


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _chunk_gla(*inputs: Any) -> Tensor:
    from fla.ops.gla import chunk_gla

    q, k, v, g, scale = inputs
    if torch.is_anomaly_enabled():
        _require_finite(g)
    out: Tensor = chunk_gla(q, k, v, g, scale=scale)[0]
    return out
