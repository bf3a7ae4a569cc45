"""ReGLA, gated linear attention with exponential features and refined gates, in one and two directions."""

from typing import TYPE_CHECKING

from vigbench.ops.declaration import (
    DASH_DOT,
    DASHED,
    KEYS,
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
    from vigbench.ops.regla.interface import bidirectional_regla, regla


def _token_macs(heads: int, key_dim: int, value_dim: int) -> int:
    return 3 * heads * key_dim * value_dim  # decay, write, read


register_operator(
    OperatorInfo(
        name="regla",
        title="ReGLA",
        implementations=(
            Implementation(
                name="triton_fused",
                description="GLA's kernels in Triton, with features and refined gates computed inside them",
                target="vigbench.ops.regla.triton_fused:triton_fused",
                own=True,
                requires=("triton",),
                devices=("cuda",),
                float64=False,
                must_run=("block_maxima*", "*k_outputs*"),
            ),
            Implementation(
                name="torch_chunk",
                description="features and log-decays, then chunkwise matrix products in plain PyTorch, on any device",
                target="vigbench.ops.regla.torch_chunk:torch_chunk",
                own=True,
                dash=DASH_DOT,
            ),
            Implementation(
                name="fla",
                description="flash-linear-attention's chunk_gla, once each way, fed with features and log-decays",
                target="vigbench.ops.regla.external:fla",
                repeatable=False,
                tf32=True,
                requires=("triton", "fla", "einops"),
                devices=("cuda",),
                float64=False,
                check="vigbench.ops.gla.external:unsupported_reason",
                must_run=("chunk_gla_fwd*",),
                dash=SHORT_DASHED,
            ),
            Implementation(
                name="reference",
                description="the recurrence as defined, token by token, summed in float64 (float32 for half precision)",
                target="vigbench.ops.regla.reference:reference",
                own=True,
                dash=DASHED,
            ),
        ),
        reference="reference",
        check_reference="torch_chunk",
        tolerance={"float32": 4e-6, "bfloat16": 2e-2, "float16": 4e-3, "float64": 1e-10},
        samples="vigbench.ops.regla.samples:samples",
        longest=Limit(16384, 4096),
        subjects=(
            OperatorSubject(
                "regla",
                title="ReGLA",
                family="linear",
                directions=2,
                description="bidirectional gated linear attention with exponential features and refined gates",
                call="vigbench.ops.regla:bidirectional_regla",
                inputs=(*QKV, *(Input(name, KEYS) for name in ("x_fwd", "y_fwd", "x_bwd", "y_bwd"))),
                token_macs=_token_macs,
                memory=None,  # decays forget, but a maximum of all keys does not
            ),
        ),
    )
)

__all__ = ["bidirectional_regla", "regla"]
__getattr__ = lazy_attributes(__name__, "interface", __all__)
