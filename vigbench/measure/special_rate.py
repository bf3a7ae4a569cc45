"""A Triton kernel that computes powers of 2 and nothing else, from registers to registers."""

import triton
import triton.language as tl
from torch import Tensor

from vigbench.ops import kernel_launch

LANES, ROUNDS, WARPS = 1024, 512, 4
PER_PROGRAM = LANES * ROUNDS


@triton.jit
def powers(out, lanes: tl.constexpr, rounds: tl.constexpr):
    """Grid: (programs). Each power is the next one's exponent, so that none can be left out."""
    x = tl.arange(0, lanes) * (-1.0 / lanes)
    for _ in range(rounds):
        x = tl.exp2(-x)
    tl.store(out + tl.program_id(0), tl.sum(x, 0))


def start(out: Tensor) -> None:
    """One launch: a program for each element of `out`, PER_PROGRAM powers each."""
    constants = {"lanes": LANES, "rounds": ROUNDS}
    kernel_launch.launch_kernel(powers, (out.numel(), 1, 1), out.device, (out,), constants, WARPS, 1)
