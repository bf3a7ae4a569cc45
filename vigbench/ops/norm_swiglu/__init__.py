"""What ViG does between two mixers: a norm, a SwiGLU MLP, and the residual stream that it is added to."""

from typing import TYPE_CHECKING

from vigbench.ops.declaration import Implementation, OperatorInfo
from vigbench.ops.lazy import lazy_attributes
from vigbench.ops.registry import register_operator

if TYPE_CHECKING:
    from vigbench.ops.norm_swiglu.interface import norm_swiglu

register_operator(
    OperatorInfo(
        name="norm_swiglu",
        title="Norm and SwiGLU MLP",
        implementations=(
            Implementation(
                name="triton_fused",
                description="in Triton: one kernel for narrow models, in which the hidden layer never reaches memory",
                target="vigbench.ops.norm_swiglu.triton_fused:triton_fused",
                requires=("triton",),
                devices=("cuda",),
                half_only=("cuda",),
                float64=False,
            ),
            Implementation(
                name="torch",
                description="in plain PyTorch, one pass for each step",
                target="vigbench.ops.norm_swiglu.interface:step_by_step",
            ),
        ),
        reference="torch",
        # products of rounded operands; plain PyTorch rounds between its steps, too
        tolerance={"float32": 4e-6, "bfloat16": 3e-2, "float16": 4e-3, "float64": 1e-10},
        samples="vigbench.ops.norm_swiglu.samples:samples",
    )
)

__all__ = ["norm_swiglu"]
__getattr__ = lazy_attributes(__name__, "interface", __all__)
