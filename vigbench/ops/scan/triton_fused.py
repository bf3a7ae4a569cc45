"""The selective scan in Triton: a lane walks along the sequence with its channel's states in registers (kernels/).

Both directions run side by side, softplus and the gate inside. Nothing is flipped or copied, whatever the strides; no
state of every token reaches memory. The backward computes the states anew.
"""

from typing import Any

from torch import Tensor

from vigbench.ops.scan.cost import triton_macs, triton_macs_backward
from vigbench.ops.scan.kernels import launch
from vigbench.ops.scan.operator import ScanArguments, define_scan


def _forward(*given: Any) -> Tensor:
    return launch.forward(ScanArguments(*given))


def _backward(grad: Tensor, *given: Any) -> list[Tensor]:
    return launch.backward(grad, ScanArguments(*given))


triton_fused = define_scan("triton_fused", _forward, _backward, triton_macs, triton_macs_backward)
