"""The end of ViG's mixer: the gated norm, the output projection, and the residual stream that it is added to."""

from typing import TYPE_CHECKING

from vigbench.ops.declaration import Implementation, OperatorInfo
from vigbench.ops.lazy import lazy_attributes
from vigbench.ops.registry import register_operator

if TYPE_CHECKING:
    from vigbench.ops.gated_projection.interface import gated_projection

register_operator(
    OperatorInfo(
        name="gated_projection",
        title="Gated norm and projection",
        implementations=(
            Implementation(
                name="triton_fused",
                description="in Triton: one kernel for narrow models, else the gated norm's and the library's product",
                target="vigbench.ops.gated_projection.triton_fused:triton_fused",
                requires=("triton",),
                devices=("cuda",),
                half_only=("cuda",),
                float64=False,
            ),
            Implementation(
                name="torch",
                description="in plain PyTorch, one pass for each step",
                target="vigbench.ops.gated_projection.interface:step_by_step",
            ),
        ),
        reference="torch",
        # products of rounded operands; plain PyTorch rounds between its steps, too
        tolerance={"float32": 4e-6, "bfloat16": 3e-2, "float16": 4e-3, "float64": 1e-10},
        samples="vigbench.ops.gated_projection.samples:samples",
    )
)

__all__ = ["gated_projection"]
__getattr__ = lazy_attributes(__name__, "interface", __all__)
