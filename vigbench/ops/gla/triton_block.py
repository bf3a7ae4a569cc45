"""The operator inside a block that is fused around it (`vigbench.models.vig`): the kernels of `triton_fused`.

By a name of its own, so that a profile proves which of the two ran.
"""

from vigbench.ops.gla.cost import chunk_macs, fused_macs_backward
from vigbench.ops.gla.operator import define_gla
from vigbench.ops.gla.triton_fused import _backward, _forward, define_low_rank

triton_block = define_gla("triton_block", _forward, _backward, chunk_macs, fused_macs_backward)
define_low_rank("triton_block")
