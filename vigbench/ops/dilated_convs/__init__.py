"""The parallel branches of GLIMS' dilated convolution block: three depthwise convolutions, norms and PReLUs."""

from typing import TYPE_CHECKING

from vigbench.ops.declaration import DASHED, Implementation, OperatorInfo
from vigbench.ops.lazy import lazy_attributes
from vigbench.ops.registry import register_operator

if TYPE_CHECKING:
    from vigbench.ops.dilated_convs.interface import dilated_convs

register_operator(
    OperatorInfo(
        name="dilated_convs",
        title="Dilated convolutions",
        implementations=(
            Implementation(
                name="triton_fused",
                description="in Triton: all three convolutions from one walk through the volume, then norms and PReLUs",
                target="vigbench.ops.dilated_convs.triton_fused:triton_fused",
                own=True,
                requires=("triton",),
                devices=("cuda",),
                float64=False,
                must_run=("dilated_convs_forward*", "dilated_convs_activate*"),
            ),
            Implementation(
                name="reference",
                description="as released: one convolution, GroupNorm and PReLU of torch's a branch, and torch.cat",
                target="vigbench.ops.dilated_convs.reference:reference",
                must_run=("aten::convolution", "aten::*group_norm"),
                dash=DASHED,
            ),
        ),
        reference="reference",
        # torch rounds between its steps, and a bias's gradient is what rounding leaves of a sum
        tolerance={"float32": 4e-6, "bfloat16": 3e-2, "float16": 1e-2, "float64": 1e-10},
        samples="vigbench.ops.dilated_convs.samples:samples",
    )
)

__all__ = ["dilated_convs"]
__getattr__ = lazy_attributes(__name__, "interface", __all__)
