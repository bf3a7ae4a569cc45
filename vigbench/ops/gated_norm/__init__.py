"""What ViG does with an operator's output: both branches normalised per head, mixed by a sigmoid gate (one pass)."""

from typing import TYPE_CHECKING

from vigbench.ops.declaration import Implementation, OperatorInfo
from vigbench.ops.lazy import lazy_attributes
from vigbench.ops.registry import register_operator

if TYPE_CHECKING:
    from vigbench.ops.gated_norm.interface import FUSED_WITH, gated_norm

register_operator(
    OperatorInfo(
        name="gated_norm",
        title="Gated norm",
        implementations=(
            Implementation(
                name="triton_fused",
                description="in Triton, each tensor read once",
                target="vigbench.ops.gated_norm.triton_fused:triton_fused",
                requires=("triton",),
                devices=("cuda",),
                float64=False,
            ),
            Implementation(
                name="torch",
                description="in plain PyTorch, one pass for each step; overwrites the gate",
                target="vigbench.ops.gated_norm.interface:step_by_step",
            ),
        ),
        reference="torch",
        # plain PyTorch rounds between its steps
        tolerance={"float32": 4e-6, "bfloat16": 3e-2, "float16": 4e-3, "float64": 1e-10},
        samples="vigbench.ops.gated_norm.samples:samples",
    )
)

__all__ = ["FUSED_WITH", "gated_norm"]
__getattr__ = lazy_attributes(__name__, "interface", __all__)
