"""Mamba's short depthwise convolution in both directions, and SiLU behind it (Vim, arXiv 2401.09417, algorithm 1)."""

from typing import TYPE_CHECKING

from vigbench.ops.declaration import Implementation, OperatorInfo
from vigbench.ops.lazy import lazy_attributes
from vigbench.ops.registry import register_operator

if TYPE_CHECKING:
    from vigbench.ops.causal_conv.interface import FUSED_WITH, bidirectional_causal_conv

register_operator(
    OperatorInfo(
        name="causal_conv",
        title="Causal convolution",
        implementations=(
            Implementation(
                name="triton_fused",
                description="in Triton, both directions in one launch",
                target="vigbench.ops.causal_conv.triton_fused:triton_fused",
                requires=("triton",),
                devices=("cuda",),
                float64=False,
            ),
            Implementation(
                name="torch",
                description="in plain PyTorch",
                target="vigbench.ops.causal_conv.torch_shift:torch_shift",
            ),
        ),
        reference="torch",
        tolerance={"float32": 2e-6, "bfloat16": 1e-2, "float16": 2e-3, "float64": 1e-10},
        samples="vigbench.ops.causal_conv.samples:samples",
    )
)

__all__ = ["FUSED_WITH", "bidirectional_causal_conv"]
__getattr__ = lazy_attributes(__name__, "interface", __all__)
