"""What DiG does with an operator's output: normalised per head, then gated by SiLU (one pass)."""

from typing import TYPE_CHECKING

from vigbench.ops.declaration import Implementation, OperatorInfo
from vigbench.ops.lazy import lazy_attributes
from vigbench.ops.registry import register_operator

if TYPE_CHECKING:
    from vigbench.ops.norm_swish_gate.interface import norm_swish_gate

register_operator(
    OperatorInfo(
        name="norm_swish_gate",
        title="Norm and swish gate",
        implementations=(
            Implementation(
                name="triton_fused",
                description="in Triton, each tensor read once",
                target="vigbench.ops.norm_swish_gate.triton_fused:triton_fused",
                requires=("triton",),
                devices=("cuda",),
                float64=False,
            ),
            Implementation(
                name="torch",
                description="in plain PyTorch, one pass for each step",
                target="vigbench.ops.norm_swish_gate.interface:step_by_step",
            ),
        ),
        reference="torch",
        # plain PyTorch rounds between its steps
        tolerance={"float32": 4e-6, "bfloat16": 3e-2, "float16": 4e-3, "float64": 1e-10},
        samples="vigbench.ops.norm_swish_gate.samples:samples",
    )
)

__all__ = ["norm_swish_gate"]
__getattr__ = lazy_attributes(__name__, "interface", __all__)
