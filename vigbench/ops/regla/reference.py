"""ReGLA as it is defined, token by token, in float64 for float32 inputs: GLA's reference on features and log-decays."""

from vigbench.ops.gla import reference as gla
from vigbench.ops.gla.cost import gla_macs, recurrent_macs_backward
from vigbench.ops.precision import accumulation_dtype
from vigbench.ops.regla.composed import Composed
from vigbench.ops.regla.operator import define_regla

_composed = Composed(gla._forward, gla._backward, accumulation_dtype)
reference = define_regla("reference", _composed.forward, _composed.backward, gla_macs, recurrent_macs_backward)
