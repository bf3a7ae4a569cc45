"""The peer: flash-linear-attention's chunk_gsa, used both ways."""

from typing import Any

import torch
from torch import Tensor

from vigbench.ops.gsa.operator import GsaArguments
from vigbench.ops.gsa.torch_chunk import torch_chunk

_first_call = True  # of this process


def fla(*arguments: Any) -> Tensor:
    """chunk_gsa on the sequence, and on the flipped one, flipped back, or the mean of both; autograd is its own.

    Log-decays have to be finite: a single -inf makes its whole output NaN. On the meta device, where costs are counted,
    torch_chunk's shapes and arithmetic stand for it: same chunks.

    Raises:
        ValueError: if a log-decay is -inf in the first call of a process, or in any in torch's anomaly mode; others are
            not looked at, for that would wait for the device.
    """
    given = GsaArguments(*arguments)
    if given.q.device.type == "meta":
        return torch_chunk(*given)
    ways = given.directions()
    if _first_call:
        _require_finite(*(way.g for way in ways))
    outputs: list[Tensor] = []
    for way in ways:
        inputs = (*given[:3], way.s, way.g)
        if way.reverse:
            outputs.append(_chunk_gsa(*(x.flip(1) for x in inputs), given.scale).flip(1))
        else:
            outputs.append(_chunk_gsa(*inputs, given.scale))
    return outputs[0] if len(outputs) == 1 else torch.lerp(outputs[0], outputs[1], 0.5)


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _require_finite(*gates: Tensor) -> None:
    """ValueError if a log-decay is -inf: reading the answer back waits for the device, unless a graph is captured."""
    global _first_call
    _first_call = False
    for g in gates:
        if g.is_cuda and torch.cuda.is_current_stream_capturing():
            continue
        if g.isneginf().any():
            raise ValueError(
                "a log-decay is -inf, with which flash-linear-attention's chunk_gsa returns NaN everywhere: clamp the "
                "gates to finite values, or choose another implementation"
            )


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _chunk_gsa(*inputs: Any) -> Tensor:
    from fla.ops.gsa import chunk_gsa

    q, k, v, s, g, scale = inputs
    if torch.is_anomaly_enabled():
        _require_finite(g)
    out: Tensor = chunk_gsa(q, k, v, s, g, scale=scale)[0]
    return out
