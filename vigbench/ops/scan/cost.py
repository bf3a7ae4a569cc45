"""Multiply-adds of the selective scan (1 MAC = 2 FLOPs), from the shapes of its arguments (operator.py).

Functions take the operator's arguments as FlopCounterMode gives them, tensors as shapes; those of a backward begin
with the gradient.
"""

import math
from collections.abc import Sequence
from typing import Any

from vigbench.ops.scan.cut import cut_of

Shape = Sequence[int]


def _elements(u: Shape, B: Shape) -> tuple[int, int]:
    """Channels of all tokens, and states of all tokens, of both directions."""
    return math.prod(u), math.prod(u) * B[-1]


def scan_macs(*shapes: Any, **_: Any) -> int:
    """4 L E N a direction: delta A, delta u B, recurrence, read; and L E each for delta u and D u."""
    channels, states = _elements(shapes[0], shapes[3])
    return 4 * states + (1 if shapes[5] is None else 2) * channels


def scan_macs_backward(*shapes: Any, **_: Any) -> int:
    """Twice the forward: each product has two gradients. What an implementation recomputes does not count."""
    return 2 * scan_macs(*shapes[1:])


def scan_special(u: Shape, delta: Shape, A: Shape, B: Shape, *rest: Any) -> int:  # noqa: ARG001
    """L E N decays a direction, an exponential and a logarithm for each step's softplus, the gate's."""
    channels, states = _elements(u, B)
    z, softplus = rest[2], rest[5]
    return states + (2 * channels if softplus else 0) + (0 if z is None else math.prod(z))


def chunk_macs(*shapes: Any, **_: Any) -> int:
    """The recurrence inside chunks, and besides it the running product of decays and what it lets through: 6 L E N."""
    return scan_macs(*shapes) + 2 * _elements(shapes[0], shapes[3])[1]


def chunk_macs_backward(*shapes: Any, **_: Any) -> int:
    """22 L E N and 8 L E: the forward pass (6 and 2), and for each segment decays, states without a read, and their
    gradient (9), what B, C, u and the decays get (5), and what A and the steps get from the decays' (2).
    """
    channels, states = _elements(shapes[1], shapes[4])
    return 22 * states + 8 * channels


def triton_macs(*shapes: Any, **_: Any) -> int:
    """The recurrence as it is defined; before it, where segments run side by side, one without its read, 3 L E N."""
    segmented = cut_of(*shapes[0]).segmented
    return scan_macs(*shapes) + 3 * segmented * _elements(shapes[0], shapes[3])[1]


def triton_macs_backward(*shapes: Any, **_: Any) -> int:
    """The forward walk again, then 11 L E N: the states once more (3), their gradients (2), those of B, C, A and what
    is written (4), of the decays (2). Where segments run side by side, 3 L E N for the states and for their gradients.
    """
    channels, states = _elements(shapes[1], shapes[4])
    segmented = cut_of(*shapes[1]).segmented
    return scan_macs(*shapes[1:]) + (11 + 6 * segmented) * states + 8 * channels
