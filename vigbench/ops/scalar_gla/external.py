"""The peers: flash-linear-attention's chunk_simple_gla, used both ways, and mamba-ssm's kernels of SSD."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vigbench.ops.gla.external import unsupported_reason as fla_unsupported_reason
from vigbench.ops.registry import UnsupportedError
from vigbench.ops.scalar_gla.heads import spread
from vigbench.ops.scalar_gla.operator import ssd_directions, ssd_values, with_skip
from vigbench.ops.scalar_gla.torch_chunk import torch_chunk

__all__ = ["SSD_PEERS", "fla", "fla_unsupported_reason", "mamba_ssm", "mamba_unsupported_reason"]
MAMBA_CHUNK = 256  # of Mamba-2's models

_first_call = True  # of this process


def fla(q: Tensor, k: Tensor, v: Tensor, g_fwd: Tensor | None, g_bwd: Tensor | None, scale: float) -> Tensor:
    """chunk_simple_gla on the sequence, plus the same on the flipped one, flipped back; autograd is its own.

    Log-decays have to be finite: sums of them are subtracted, and -inf gives NaN. Those of heads, where no gradient of
    them is asked for, are given as such: then it is what chunk_retention calls. On the meta device, where costs are
    counted, torch_chunk's shapes and arithmetic stand for it: same chunks.

    Raises:
        ValueError: if a log-decay is -inf in the first call of a process, or in any in torch's anomaly mode; others are
            not looked at, for that would wait for the device.
    """
    if q.device.type == "meta":
        return torch_chunk(q, k, v, g_fwd, g_bwd, scale)
    if _first_call or torch.is_anomaly_enabled():
        _require_finite(g_fwd, g_bwd)
    outputs: list[Tensor] = []
    if g_fwd is not None:
        outputs.append(_chunk_simple_gla(q, k, v, g_fwd, scale))
    if g_bwd is not None:
        flipped = (x.flip(1) for x in (q, k, v))
        outputs.append(_chunk_simple_gla(*flipped, g_bwd if _is_of_heads(g_bwd) else g_bwd.flip(1), scale).flip(1))
    return sum(outputs[1:], outputs[0])


def mamba_ssm(q: Tensor, *_: Any) -> Tensor:
    """UnsupportedError: mamba-ssm's kernels take step sizes and one decay rate a head, not log-decays of tokens."""
    raise UnsupportedError(
        f"mamba_ssm computes ssd alone, and q is {tuple(q.shape)} with log-decays: choose fla or another implementation"
    )


def mamba_unsupported_reason() -> str | None:
    """Why the installed mamba-ssm cannot run here; None where it can."""
    try:
        import mamba_ssm.ops.triton.ssd_combined  # noqa: F401
    except (ImportError, OSError) as error:  # a build for another torch lacks symbols
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        return f"mamba-ssm is installed but cannot be imported ({first_line}): install a build for this torch and CUDA"
    return None


def _fla_ssd(x: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor | None, reverse: bool) -> Tensor:
    """chunk_simple_gla on dt x and dt a, with queries and keys repeated for the heads of a group, plus d x."""
    v, g = ssd_values(x, dt, a, x.dtype)
    out: Tensor = fla(spread(c, x), spread(b, x), v, *ssd_directions(g, reverse), 1.0)
    return out if d is None else with_skip(out, x, d)


def _mamba_ssd(x: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor | None, reverse: bool) -> Tensor:
    """mamba_chunk_scan_combined on the sequence, or on the flipped one, flipped back; autograd is its own."""
    tokens = [one.flip(1) if reverse else one for one in (x, dt, b, c)]
    out: Tensor = _mamba_chunk_scan(*tokens, a, d)
    return out.flip(1) if reverse else out


def _on_meta(peer: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The peer, for which torch_chunk's shapes and arithmetic stand on the meta device, where costs are counted."""

    def run(x: Tensor, *others: Any) -> Tensor:
        if x.device.type == "meta":
            counted: Tensor = torch.ops.vigbench.scalar_gla_torch_chunk_ssd(x, *others)
            return counted
        return peer(x, *others)

    return run


SSD_PEERS: dict[str, Callable[..., Tensor]] = {"fla": _on_meta(_fla_ssd), "mamba_ssm": _on_meta(_mamba_ssd)}


def _is_of_heads(g: Tensor) -> bool:
    """Whether all tokens share the log-decays of their heads, and nobody asks for a gradient of these."""
    return not g.requires_grad and g.stride()[:2] == (0, 0)


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
                "a log-decay is -inf, with which flash-linear-attention's chunk_simple_gla returns NaN: clamp the "
                "gates to finite values, or choose another implementation"
            )


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _chunk_simple_gla(q: Tensor, k: Tensor, v: Tensor, g: Tensor, scale: float) -> Tensor:
    from fla.ops.simple_gla import chunk_simple_gla

    gates = {"g_gamma": g[0, 0].float()} if _is_of_heads(g) else {"g": g}
    out: Tensor = chunk_simple_gla(q, k, v, **gates, scale=scale)[0]
    return out


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _mamba_chunk_scan(x: Tensor, dt: Tensor, b: Tensor, c: Tensor, a: Tensor, d: Tensor | None) -> Tensor:
    from mamba_ssm.ops.triton.ssd_combined import mamba_chunk_scan_combined

    out: Tensor = mamba_chunk_scan_combined(x, dt, a.float(), b, c, MAMBA_CHUNK, D=d)
    return out
