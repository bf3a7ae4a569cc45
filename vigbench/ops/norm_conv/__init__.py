"""The start of ViG's mixer: a norm, a depthwise 3x3 convolution over the grid of tokens, and SiLU."""

from typing import TYPE_CHECKING

from vigbench.ops.declaration import Implementation, OperatorInfo
from vigbench.ops.lazy import lazy_attributes
from vigbench.ops.registry import register_operator

if TYPE_CHECKING:
    from vigbench.ops.norm_conv.interface import norm_conv

register_operator(
    OperatorInfo(
        name="norm_conv",
        title="Norm and depthwise convolution",
        implementations=(
            Implementation(
                name="triton_fused",
                description="in Triton: one pass, which normalises a row of tokens as it walks through the image",
                target="vigbench.ops.norm_conv.triton_fused:triton_fused",
                requires=("triton",),
                devices=("cuda",),
                float64=False,
            ),
            Implementation(
                name="torch",
                description="in plain PyTorch, one pass for each step",
                target="vigbench.ops.norm_conv.interface:step_by_step",
            ),
        ),
        reference="torch",
        # plain PyTorch rounds between its steps
        tolerance={"float32": 4e-6, "bfloat16": 3e-2, "float16": 4e-3, "float64": 1e-10},
        samples="vigbench.ops.norm_conv.samples:samples",
    )
)

__all__ = ["norm_conv"]
__getattr__ = lazy_attributes(__name__, "interface", __all__)
