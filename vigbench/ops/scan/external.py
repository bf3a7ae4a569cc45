"""The peer: mamba-ssm's CUDA kernel through its public function, used both ways."""

from typing import Any

import torch
from torch import Tensor

from vigbench.ops.scan.operator import reverses
from vigbench.ops.scan.torch_chunk import torch_chunk


def mamba_ssm(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    scale: float,
    softplus: bool,
    reverse: bool,
) -> Tensor:
    """selective_scan_fn on the sequence, plus selective_scan_fn on the flipped one, flipped back; autograd is its own.

    It wants channels before tokens in memory; what comes otherwise it copies. On the meta device, where costs are
    counted, torch_chunk's shapes and arithmetic stand for it.
    """
    if u.device.type == "meta":
        return torch_chunk(u, delta, A, B, C, D, z, delta_bias, scale, softplus, reverse)
    outputs: list[Tensor] = []
    for n, backward in enumerate(reverses(u, reverse)):
        tokens = [x if x is None else x.mT for x in (u[n], delta[n], B[n], C[n], z)]
        if backward:
            tokens = [x if x is None else x.flip(-1) for x in tokens]
        weights = [None if x is None else x[n].float() for x in (A, D, delta_bias)]
        out = _selective_scan(tokens, weights, softplus)
        outputs.append((out.flip(-1) if backward else out).mT)
    return scale * sum(outputs[1:], outputs[0])


def unsupported_reason() -> str | None:
    """Why the installed mamba-ssm cannot run here; None where it can."""
    try:
        import mamba_ssm.ops.selective_scan_interface  # noqa: F401
    except (ImportError, OSError) as error:  # a build for another torch lacks symbols
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        return f"mamba-ssm is installed but cannot be imported ({first_line}): install a build for this torch and CUDA"
    return None


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _selective_scan(tokens: list[Any], weights: list[Any], softplus: bool) -> Tensor:
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

    u, delta, B, C, z = tokens
    A, D, delta_bias = weights
    out: Tensor = selective_scan_fn(
        u, delta, A, B, C, D=D, z=z, delta_bias=delta_bias, delta_softplus=softplus, return_last_state=False
    )
    return out
