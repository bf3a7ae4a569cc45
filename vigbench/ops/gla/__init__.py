"""Gated linear attention in one and two directions."""

from typing import TYPE_CHECKING

from vigbench.ops.declaration import (
    DASH_DOT,
    DASH_DOT_DOT,
    DASHED,
    DOTTED,
    KEYS,
    LONG_DASHED,
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
    from vigbench.ops.gla.interface import (
        bidirectional_gla,
        bidirectional_gla_from_logits,
        bidirectional_gla_low_rank,
        fuses_block,
        gla,
        gla_low_rank,
        selected_implementation,
    )
    from vigbench.ops.gla.sequence_parallel import sequence_parallel_gla

GATE = "vigbench.ops.draws:gla_log_decay"


def _token_macs(heads: int, key_dim: int, value_dim: int) -> int:
    return 3 * heads * key_dim * value_dim  # decay, outer product, read


register_operator(
    OperatorInfo(
        name="gla",
        title="GLA",
        implementations=(
            Implementation(
                name="triton_fused",
                description="chunkwise in Triton, both directions in one walk or two passes over q, k, v and the gates",
                target="vigbench.ops.gla.triton_fused:triton_fused",
                own=True,
                variants=("logits", "low_rank"),
                fused_blocks=True,
                requires=("triton",),
                devices=("cuda",),
                float64=False,
                must_run=("*k_outputs*",),  # walk_outputs or chunk_outputs, and no other operator's
            ),
            Implementation(
                name="torch_chunk",
                description="chunkwise matrix products in plain PyTorch, on any device",
                target="vigbench.ops.gla.torch_chunk:torch_chunk",
                own=True,
                dash=DASH_DOT,
            ),
            Implementation(
                name="triton_unfused",
                description="flipped, concatenated and added around the same chunkwise kernels, one direction each",
                target="vigbench.ops.gla.triton_unfused:triton_unfused",
                own=True,
                fused_blocks=True,
                requires=("triton",),
                devices=("cuda",),
                float64=False,
                must_run=("*k_outputs*",),  # walk_outputs or chunk_outputs, and no other operator's
                dash=DOTTED,
            ),
            Implementation(
                name="triton_block",
                description="triton_fused in a block whose norms, convolution, MLP and sums are Triton kernels, too",
                target="vigbench.ops.gla.triton_block:triton_block",
                own=True,
                variants=("low_rank",),
                fused_blocks=True,
                whole_block=True,
                requires=("triton",),
                devices=("cuda",),
                half_only=("cuda",),
                float64=False,
                must_run=("vigbench::norm_conv", "vigbench::gated_projection", "vigbench::norm_swiglu"),
                dash=LONG_DASHED,
            ),
            Implementation(
                name="triton_recurrent",
                description="ViG's inference kernel: token by token, both directions in one launch",
                target="vigbench.ops.gla.triton_recurrent:triton_recurrent",
                own=True,
                fused_blocks=True,
                requires=("triton",),
                devices=("cuda",),
                float64=False,
                training=False,
                must_run=("recurrence*",),
                dash=DASH_DOT_DOT,
            ),
            Implementation(
                name="fla",
                description="flash-linear-attention's chunk_gla, once each way; log-decays have to be finite",
                target="vigbench.ops.gla.external:fla",
                repeatable=False,
                tf32=True,
                requires=("triton", "fla", "einops"),
                devices=("cuda",),
                infinite_decay=False,
                check="vigbench.ops.gla.external:unsupported_reason",
                must_run=("chunk_gla_fwd*",),
                dash=SHORT_DASHED,
            ),
            Implementation(
                name="reference",
                description="the recurrence as defined, token by token, summed in float64 (float32 for half precision)",
                target="vigbench.ops.gla.reference:reference",
                own=True,
                dash=DASHED,
            ),
        ),
        reference="reference",
        check_reference="torch_chunk",
        tolerance={"float32": 2e-6, "bfloat16": 1e-2, "float16": 2e-3, "float64": 1e-10},
        samples="vigbench.ops.gla.samples:samples",
        # 0.2 ms a token on a GPU, five times that with gradients; the operator's own tests cover longer ones
        largest_px=Limit(1024, 256),
        longest=Limit(16384, 4096),
        subjects=(
            OperatorSubject(
                "gla",
                title="GLA",
                family="vig",
                directions=2,
                description="bidirectional gated linear attention",
                call="vigbench.ops.gla:bidirectional_gla",
                inputs=(*QKV, Input("g_fwd", KEYS, GATE), Input("g_bwd", KEYS, GATE)),
                token_macs=_token_macs,
                memory=1024,
                over_ranks="vigbench.ops.gla.sequence_parallel:sequence_parallel_gla",
            ),
            OperatorSubject(
                "gla_from_logits",
                title="GLA+gates",
                family="vig",
                directions=2,
                description="the same from the logits of its gates",
                call="vigbench.ops.gla.interface:measured_from_logits",
                inputs=(*QKV, Input("x_fwd", KEYS), Input("x_bwd", KEYS)),
                token_macs=_token_macs,
                memory=1024,
            ),
            OperatorSubject(
                "gla_one_direction",
                title="Causal GLA",
                family="linear",
                directions=1,
                description="gated linear attention from the first token to the last",
                call="vigbench.ops.gla:gla",
                inputs=(*QKV, Input("g", KEYS, GATE)),
                token_macs=_token_macs,
                memory=1024,
            ),
        ),
    )
)

__all__ = [
    "bidirectional_gla",
    "bidirectional_gla_from_logits",
    "bidirectional_gla_low_rank",
    "fuses_block",
    "gla",
    "gla_low_rank",
    "selected_implementation",
    "sequence_parallel_gla",
]
__getattr__ = lazy_attributes(__name__, "interface", __all__, {"sequence_parallel_gla": "sequence_parallel"})
