"""Bi-WKV, Vision-RWKV's bidirectional attention in linear time; registration order is what "auto" prefers."""

from vigbench.ops.biwkv.interface import bi_wkv
from vigbench.ops.registry import Implementation, register

register(
    Implementation(
        operator="biwkv",
        name="triton_fused",
        description="chunkwise in Triton, both directions in one pass over k and v",
        target="vigbench.ops.biwkv.triton_fused:triton_fused",
        requires=("triton",),
        devices=("cuda",),
        float64=False,
        must_run=("vigbench::biwkv_triton_fused", "wkv_states*", "wkv_outputs*"),
        must_not_run=("vigbench::biwkv_reference*", "vigbench::biwkv_torch*"),
    )
)
register(
    Implementation(
        operator="biwkv",
        name="torch_scan",
        description="scanned in chunks in plain PyTorch, on any device",
        target="vigbench.ops.biwkv.torch_scan:torch_scan",
        must_run=("vigbench::biwkv_torch_scan",),
        must_not_run=("vigbench::biwkv_reference*", "vigbench::biwkv_triton*"),
    )
)
register(
    Implementation(
        operator="biwkv",
        name="reference",
        description="the formula as defined, over all pairs of tokens, summed in float64 (float32 for half precision)",
        target="vigbench.ops.biwkv.reference:reference",
        must_run=("vigbench::biwkv_reference",),
        must_not_run=("vigbench::biwkv_torch*", "vigbench::biwkv_triton*"),
    )
)

__all__ = ["bi_wkv"]
