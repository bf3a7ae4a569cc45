"""Linear attention without gates, from the first token to the last: what GLA's paper times beside attention."""

from typing import TYPE_CHECKING

from vigbench.ops.declaration import (
    DASH_DOT,
    DASHED,
    QKV,
    SHORT_DASHED,
    Implementation,
    Limit,
    OperatorInfo,
    OperatorSubject,
)
from vigbench.ops.lazy import lazy_attributes
from vigbench.ops.registry import register_operator

if TYPE_CHECKING:
    from vigbench.ops.causal_linear_attention.interface import causal_linear_attention


def _token_macs(heads: int, key_dim: int, value_dim: int) -> int:
    return 2 * heads * key_dim * value_dim  # write, read


register_operator(
    OperatorInfo(
        name="causal_linear_attention",
        title="Causal linear attention",
        implementations=(
            Implementation(
                name="triton_fused",
                description="chunkwise in Triton: the kernels of scalar_gla with no decay",
                target="vigbench.ops.causal_linear_attention.triton_fused:triton_fused",
                own=True,
                requires=("triton",),
                devices=("cuda",),
                float64=False,
                must_run=("scalar_outputs*",),
            ),
            Implementation(
                name="torch_chunk",
                description="chunkwise matrix products in plain PyTorch, on any device",
                target="vigbench.ops.causal_linear_attention.torch_chunk:torch_chunk",
                own=True,
                dash=DASH_DOT,
            ),
            Implementation(
                name="fla",
                description="flash-linear-attention's chunk_linear_attn, without its norm",
                target="vigbench.ops.causal_linear_attention.external:fla",
                repeatable=False,
                tf32=True,
                requires=("triton", "fla", "einops"),
                devices=("cuda",),
                float64=False,
                check="vigbench.ops.gla.external:unsupported_reason",
                must_run=("chunk_fwd_kernel_o*",),
                dash=SHORT_DASHED,
            ),
            Implementation(
                name="reference",
                description="the recurrence as defined, token by token, summed in float64 (float32 for half precision)",
                target="vigbench.ops.causal_linear_attention.reference:reference",
                own=True,
                dash=DASHED,
            ),
        ),
        reference="reference",
        check_reference="torch_chunk",
        tolerance={"float32": 4e-6, "bfloat16": 2e-2, "float16": 4e-3, "float64": 1e-10},
        samples="vigbench.ops.causal_linear_attention.samples:samples",
        longest=Limit(16384, 4096),
        subjects=(
            OperatorSubject(
                "causal_linear_attention",
                title="Causal linear attention",
                family="linear",
                directions=1,
                description="linear attention without gates or a norm, from the first token to the last",
                call="vigbench.ops.causal_linear_attention:causal_linear_attention",
                inputs=QKV,
                token_macs=_token_macs,
            ),
        ),
    )
)

__all__ = ["causal_linear_attention"]
__getattr__ = lazy_attributes(__name__, "interface", __all__)
