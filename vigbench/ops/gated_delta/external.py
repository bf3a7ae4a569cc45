"""The peers: flash-linear-attention's and FlashQLA's chunk_gated_delta_rule, used both ways."""

from collections.abc import Callable
from inspect import unwrap
from typing import Any

import torch
from torch import Tensor

from vigbench.ops.capability import capability_of
from vigbench.ops.gated_delta.operator import directions_of
from vigbench.ops.gated_delta.torch_chunk import torch_chunk
from vigbench.ops.gla.external import unsupported_reason as fla_unsupported_reason
from vigbench.ops.registry import UnsupportedError

__all__ = ["fla", "fla_unsupported_reason", "flash_qla", "flash_qla_unsupported_reason"]
FLA_MOST_KEYS = 256
FLASH_QLA_DIM = 128
FLASH_QLA_CAPABILITIES = ("9.0", "10.0", "10.3")  # where it has a backward, too

_called: set[str] = set()  # of this process


def fla(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    g_fwd: Tensor | None,
    g_bwd: Tensor | None,
    beta_fwd: Tensor | None,
    beta_bwd: Tensor | None,
    scale: float,
) -> Tensor:
    """Its own Triton kernels on the sequence, plus the same on the flipped one, flipped back; autograd is its own.

    Where FlashQLA is installed, flash-linear-attention hands calls over to it: not these. Log-decays have to be finite:
    sums of them are subtracted, and -inf gives NaN. On the meta device, where costs are counted, torch_chunk's shapes
    and arithmetic stand for it: same chunks.

    Raises:
        ValueError: for more than 256 key channels; if a log-decay is -inf in the first call of a process, or in any in
            torch's anomaly mode; others are not looked at, for that would wait for the device.
    """
    if q.shape[-1] > FLA_MOST_KEYS:
        raise UnsupportedError(
            f"q has {q.shape[-1]} channels a head, and flash-linear-attention's chunk_gated_delta_rule takes "
            f"{FLA_MOST_KEYS} at most: choose another implementation"
        )
    return _both_ways("flash-linear-attention", _fla, q, k, v, (g_fwd, g_bwd, beta_fwd, beta_bwd), scale)


def flash_qla(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    g_fwd: Tensor | None,
    g_bwd: Tensor | None,
    beta_fwd: Tensor | None,
    beta_bwd: Tensor | None,
    scale: float,
) -> Tensor:
    """FlashQLA's TileLang kernels, used as flash-linear-attention's in `fla`: 128 key and value channels a head.

    Raises:
        ValueError: for other channels, and as `fla`.
    """
    if {q.shape[-1], v.shape[-1]} != {FLASH_QLA_DIM}:
        raise UnsupportedError(
            f"q is {tuple(q.shape)} and v {tuple(v.shape)}, and FlashQLA takes {FLASH_QLA_DIM} channels a head: choose "
            "another implementation"
        )
    return _both_ways("FlashQLA", _flash_qla, q, k, v, (g_fwd, g_bwd, beta_fwd, beta_bwd), scale)


def flash_qla_unsupported_reason() -> str | None:
    """Why the installed FlashQLA cannot run here; None where it can."""
    capability = capability_of(torch.device("cuda", torch.cuda.current_device()))
    if capability in FLASH_QLA_CAPABILITIES:
        return None
    return f"FlashQLA runs on compute capability {', '.join(FLASH_QLA_CAPABILITIES)}, not on {capability}: use fla"


def _both_ways(
    package: str,
    rule: Callable[..., Tensor],
    q: Tensor,
    k: Tensor,
    v: Tensor,
    gates: tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None],
    scale: float,
) -> Tensor:
    if q.device.type == "meta":
        return torch_chunk(q, k, v, *gates, scale)
    directions = list(directions_of(*gates))
    if package not in _called or torch.is_anomaly_enabled():
        _require_finite(package, *(direction.g for direction in directions))
    outputs: list[Tensor] = []
    for g, beta, reverse in directions:
        inputs = [x.flip(1) if reverse else x for x in (q, k, v, g, beta)]
        out = rule(*inputs, scale)
        outputs.append(out.flip(1) if reverse else out)
    return sum(outputs[1:], outputs[0])


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _require_finite(package: str, *gates: Tensor) -> None:
    """ValueError if a log-decay is -inf: reading the answer back waits for the device, unless a graph is captured."""
    _called.add(package)
    for g in gates:
        if g.is_cuda and torch.cuda.is_current_stream_capturing():
            continue
        if g.isneginf().any():
            raise ValueError(
                f"a log-decay is -inf, with which {package}'s chunk_gated_delta_rule returns NaN: clamp the log-decays "
                "to finite values, or choose another implementation"
            )


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _fla(*inputs: Any) -> Tensor:
    from fla.ops.gated_delta_rule import chunk_gated_delta_rule

    *tensors, scale = inputs
    out: Tensor = unwrap(chunk_gated_delta_rule)(*tensors, scale=scale)[0]
    return out


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _flash_qla(*inputs: Any) -> Tensor:
    from flash_qla import chunk_gated_delta_rule

    *tensors, scale = inputs
    out: Tensor = chunk_gated_delta_rule(*tensors, scale=scale)[0]
    return out
