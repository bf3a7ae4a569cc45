"""The peer: mamba-ssm's CUDA kernel through its public function, used both ways."""

from typing import Any

import torch
from torch import Tensor

from vigbench.ops.scan.operator import ScanArguments
from vigbench.ops.scan.torch_chunk import torch_chunk


def mamba_ssm(*arguments: Any) -> Tensor:
    """selective_scan_fn on the sequence, plus selective_scan_fn on the flipped one, flipped back; autograd is its own.

    It wants channels before tokens in memory; what comes otherwise it copies. On the meta device, where costs are
    counted, torch_chunk's shapes and arithmetic stand for it.
    """
    given = ScanArguments(*arguments)
    if given.u.device.type == "meta":
        return torch_chunk(*given)
    outputs: list[Tensor] = []
    for n, backward in enumerate(given.reverses()):
        tokens = [x if x is None else x.mT for x in (given.u[n], given.delta[n], given.B[n], given.C[n], given.z)]
        if backward:
            tokens = [x if x is None else x.flip(-1) for x in tokens]
        weights = [None if x is None else x[n].float() for x in (given.A, given.D, given.delta_bias)]
        out = _selective_scan(tokens, weights, given.softplus)
        outputs.append((out.flip(-1) if backward else out).mT)
    return given.scale * sum(outputs[1:], outputs[0])


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
