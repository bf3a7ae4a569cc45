"""The start of ViG: a convolution of the image, LayerNorm over its channels, SiLU; NCHW in, channels-last out."""

from typing import TYPE_CHECKING

from vigbench.ops.declaration import Implementation, OperatorInfo
from vigbench.ops.lazy import lazy_attributes
from vigbench.ops.registry import register_operator

if TYPE_CHECKING:
    from vigbench.ops.conv_norm.interface import conv_norm

register_operator(
    OperatorInfo(
        name="conv_norm",
        title="Convolution and norm of the image",
        implementations=(
            Implementation(
                name="triton_fused",
                description="in Triton: the image is read as it lies, the result written once, channels-last",
                target="vigbench.ops.conv_norm.triton_fused:triton_fused",
                requires=("triton",),
                devices=("cuda",),
                half_only=("cuda",),
                float64=False,
            ),
            Implementation(
                name="torch",
                description="in plain PyTorch, one pass for each step",
                target="vigbench.ops.conv_norm.interface:step_by_step",
            ),
        ),
        reference="torch",
        # PyTorch's own backward of LayerNorm sums in half precision on a CPU
        tolerance={"float32": 4e-6, "bfloat16": 3e-2, "float16": 1e-2, "float64": 1e-10},
        samples="vigbench.ops.conv_norm.samples:samples",
    )
)

__all__ = ["conv_norm"]
__getattr__ = lazy_attributes(__name__, "interface", __all__)
