"""Bi-WKV, Vision-RWKV's bidirectional attention in linear time."""

from typing import TYPE_CHECKING

from vigbench.ops.declaration import DASH_DOT, DASHED, Implementation, Limit, OperatorInfo
from vigbench.ops.lazy import lazy_attributes
from vigbench.ops.registry import register_operator

if TYPE_CHECKING:
    from vigbench.ops.biwkv.interface import bi_wkv


register_operator(
    OperatorInfo(
        name="biwkv",
        title="Bi-WKV",
        implementations=(
            Implementation(
                name="triton_fused",
                description="chunkwise in Triton, both directions in one pass over k and v",
                target="vigbench.ops.biwkv.triton_fused:triton_fused",
                own=True,
                requires=("triton",),
                devices=("cuda",),
                float64=False,
                must_run=("wkv_states*", "wkv_outputs*"),
            ),
            Implementation(
                name="torch_scan",
                description="scanned in chunks in plain PyTorch, on any device",
                target="vigbench.ops.biwkv.torch_scan:torch_scan",
                own=True,
                dash=DASH_DOT,
            ),
            Implementation(
                name="reference",
                description="the formula as defined, over all pairs, summed in float64 (float32 for half precision)",
                target="vigbench.ops.biwkv.reference:reference",
                own=True,
                dash=DASHED,
            ),
        ),
        reference="reference",
        tolerance={"float32": 4e-6, "bfloat16": 1e-2, "float16": 2e-3, "float64": 1e-10},
        samples="vigbench.ops.biwkv.samples:samples",
        largest_px=Limit(256, 224),  # it goes over all pairs: seconds beyond
    )
)

__all__ = ["bi_wkv"]
__getattr__ = lazy_attributes(__name__, "interface", __all__)
