"""Linear attention with one decay per head and token, retention, and SSD, in one and two directions."""

from typing import TYPE_CHECKING

from vigbench.ops.declaration import (
    DASH_DOT,
    DASHED,
    QKV,
    SHORT_DASHED,
    Implementation,
    Input,
    Limit,
    OperatorInfo,
    OperatorSubject,
)
from vigbench.ops.lazy import lazy_attributes
from vigbench.ops.registry import register_operator

if TYPE_CHECKING:
    from vigbench.ops.scalar_gla.interface import (
        bidirectional_retention,
        bidirectional_scalar_gla,
        retention,
        scalar_gla,
        ssd,
    )

HEADS, GATE = ("heads",), "vigbench.ops.draws:gla_log_decay"


def _token_macs(heads: int, key_dim: int, value_dim: int) -> int:
    return 3 * heads * key_dim * value_dim  # decay, outer product, read


def _ssd_token_macs(heads: int, key_dim: int, value_dim: int) -> int:
    return _token_macs(heads, key_dim, value_dim) + heads * (2 * value_dim + 1)  # dt x, d x, dt a


register_operator(
    OperatorInfo(
        name="scalar_gla",
        title="Scalar decay",
        implementations=(
            Implementation(
                name="triton_fused",
                description="chunkwise in Triton, both directions in two passes over q, k, v and the decays",
                target="vigbench.ops.scalar_gla.triton_fused:triton_fused",
                own=True,
                variants=("ssd",),
                requires=("triton",),
                devices=("cuda",),
                float64=False,
                must_run=("scalar_outputs*",),
            ),
            Implementation(
                name="torch_chunk",
                description="chunkwise matrix products in plain PyTorch, on any device",
                target="vigbench.ops.scalar_gla.torch_chunk:torch_chunk",
                own=True,
                variants=("ssd",),
                dash=DASH_DOT,
            ),
            Implementation(
                name="fla",
                description="flash-linear-attention's chunk_simple_gla, once each way; log-decays have to be finite",
                target="vigbench.ops.scalar_gla.external:fla",
                repeatable=False,
                tf32=True,
                requires=("triton", "fla", "einops"),
                devices=("cuda",),
                infinite_decay=False,
                check="vigbench.ops.scalar_gla.external:fla_unsupported_reason",
                must_run=("chunk_fwd_kernel_o*",),
                dash=SHORT_DASHED,
            ),
            Implementation(
                name="mamba_ssm",
                description="mamba-ssm's mamba_chunk_scan_combined, of SSD alone",
                target="vigbench.ops.scalar_gla.external:mamba_ssm",
                repeatable=False,
                tf32=True,
                float64=False,
                requires=("triton", "mamba_ssm", "einops"),
                devices=("cuda",),
                infinite_decay=False,
                check="vigbench.ops.scalar_gla.external:mamba_unsupported_reason",
                must_run=("_chunk_scan_fwd_kernel*",),
                dash=SHORT_DASHED,
            ),
            Implementation(
                name="reference",
                description="the recurrence as defined, token by token, summed in float64 (float32 for half precision)",
                target="vigbench.ops.scalar_gla.reference:reference",
                own=True,
                variants=("ssd",),
                dash=DASHED,
            ),
        ),
        reference="reference",
        check_reference="torch_chunk",
        tolerance={"float32": 2e-6, "bfloat16": 1e-2, "float16": 2e-3, "float64": 1e-10},
        samples="vigbench.ops.scalar_gla.samples:samples",
        longest=Limit(16384, 4096),
        subjects=(
            OperatorSubject(
                "scalar_gla",
                title="Scalar GLA",
                family="linear",
                directions=2,
                description="bidirectional linear attention with one decay per head and token",
                call="vigbench.ops.scalar_gla:bidirectional_scalar_gla",
                inputs=(*QKV, Input("g_fwd", HEADS, GATE), Input("g_bwd", HEADS, GATE)),
                token_macs=_token_macs,
                memory=1024,
            ),
            OperatorSubject(
                "retention",
                title="Retention",
                family="linear",
                directions=2,
                description="bidirectional retention: one decay a head, log(1 - 2^(-5 - head))",
                call="vigbench.ops.scalar_gla:bidirectional_retention",
                inputs=QKV,
                token_macs=_token_macs,
            ),
            OperatorSubject(
                "retention_one_direction",
                title="Causal retention",
                family="linear",
                directions=1,
                description="retention from the first token to the last: one decay a head, log(1 - 2^(-5 - head))",
                call="vigbench.ops.scalar_gla:retention",
                inputs=QKV,
                token_macs=_token_macs,
            ),
            OperatorSubject(
                "retention_one_direction",
                title="Causal retention",
                family="linear",
                directions=1,
                description="retention from the first token to the last",
                call="vigbench.ops.scalar_gla:retention",
                inputs=QKV,
                token_macs=_token_macs,
            ),
            OperatorSubject(
                "ssd",
                title="SSD",
                family="linear",
                directions=1,
                description="Mamba-2's state space model from the first token to the last, one group",
                call="vigbench.ops.scalar_gla:ssd",
                inputs=(
                    Input("x", ("heads", "value_dim")),
                    Input("dt", HEADS, "vigbench.ops.draws:ssd_step"),
                    Input("a", HEADS, "vigbench.ops.draws:ssd_rate", per_token=False),
                    Input("b", (1, "key_dim")),
                    Input("c", (1, "key_dim")),
                    Input("d", HEADS, per_token=False),
                ),
                token_macs=_ssd_token_macs,
                memory=2048,
            ),
        ),
    )
)

__all__ = ["bidirectional_retention", "bidirectional_scalar_gla", "retention", "scalar_gla", "ssd"]
__getattr__ = lazy_attributes(__name__, "interface", __all__)
