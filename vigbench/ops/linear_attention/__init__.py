"""Linear attention without gates, every token seeing all: the yardstick of what gates and directions cost."""

from typing import TYPE_CHECKING

from vigbench.ops.declaration import (
    DASH_DOT,
    DASHED,
    KEYS,
    QKV,
    SHORT_DASHED,
    VALUES,
    Implementation,
    Input,
    Limit,
    OperatorInfo,
    OperatorSubject,
)
from vigbench.ops.lazy import lazy_attributes
from vigbench.ops.registry import register_operator

if TYPE_CHECKING:
    from vigbench.ops.linear_attention.interface import linear_attention

FEATURE = "vigbench.ops.draws:positive_feature"


def _token_macs(heads: int, key_dim: int, value_dim: int) -> int:
    return 2 * heads * key_dim * value_dim  # write, read


def _normalised_token_macs(heads: int, key_dim: int, value_dim: int) -> int:
    return _token_macs(heads, key_dim, value_dim) + heads * key_dim  # the query with the sum of keys


register_operator(
    OperatorInfo(
        name="linear_attention",
        title="Linear attention",
        implementations=(
            Implementation(
                name="torch_matmul",
                description="two matrix products a head in plain PyTorch, on any device",
                target="vigbench.ops.linear_attention.torch_matmul:torch_matmul",
                own=True,
                dash=DASH_DOT,
            ),
            Implementation(
                name="flash_bla",
                description="flash-bidirectional-linear-attention's Triton kernels",
                target="vigbench.ops.linear_attention.external:flash_bla",
                repeatable=False,
                tf32=True,
                requires=("triton", "flash_bla"),
                devices=("cuda",),
                float64=False,
                check="vigbench.ops.linear_attention.external:unsupported_reason",
                must_run=("*fwd_k*",),  # fused_fwd_kernel_s_km, or without the norm _fwd_kv_kernel
                dash=SHORT_DASHED,
            ),
            Implementation(
                name="reference",
                description="the scores of all pairs of tokens, summed in float64 (float32 for half precision)",
                target="vigbench.ops.linear_attention.reference:reference",
                own=True,
                materialises=True,
                dash=DASHED,
            ),
        ),
        reference="reference",
        tolerance={"float32": 4e-6, "bfloat16": 3e-2, "float16": 4e-3, "float64": 1e-10},
        samples="vigbench.ops.linear_attention.samples:samples",
        longest=Limit(16384, 4096),
        subjects=(
            OperatorSubject(
                "linear_attention",
                title="Linear attention",
                family="linear",
                directions=0,
                description="linear attention without gates or a norm, every token seeing all",
                call="vigbench.ops.linear_attention:linear_attention",
                inputs=QKV,
                token_macs=_token_macs,
            ),
            OperatorSubject(
                "linear_attention_normalised",
                title="Normalised linear attention",
                family="linear",
                directions=0,
                description="the same of positive features, with scores divided by their sum",
                call="vigbench.ops.linear_attention.interface:measured_normalised",
                inputs=(Input("q", KEYS, FEATURE), Input("k", KEYS, FEATURE), Input("v", VALUES)),
                token_macs=_normalised_token_macs,
            ),
        ),
    )
)

__all__ = ["linear_attention"]
__getattr__ = lazy_attributes(__name__, "interface", __all__)
