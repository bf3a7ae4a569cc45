"""The gated delta rule in one and two directions."""

from typing import TYPE_CHECKING

from vigbench.ops.declaration import (
    DASH_DOT,
    DASH_DOT_DOT,
    DASHED,
    KEYS,
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
    from vigbench.ops.gated_delta.interface import bidirectional_gated_delta, gated_delta

HEADS, GATE, STRENGTH = ("heads",), "vigbench.ops.draws:gla_log_decay", "vigbench.ops.draws:strength"
INPUTS = (Input("q", KEYS), Input("k", KEYS, "vigbench.ops.draws:unit_length"), Input("v", VALUES))


def _token_macs(heads: int, key_dim: int, value_dim: int) -> int:
    return heads * (4 * key_dim + 1) * value_dim  # decay, read of the key, write, read; strength of the write


register_operator(
    OperatorInfo(
        name="gated_delta",
        title="Gated delta rule",
        implementations=(
            Implementation(
                name="triton_fused",
                description="chunkwise in Triton: triangular systems, states, outputs; up to 256 key channels a head",
                target="vigbench.ops.gated_delta.triton_fused:triton_fused",
                own=True,
                requires=("triton",),
                devices=("cuda",),
                float64=False,
                must_run=("delta_outputs*",),
            ),
            Implementation(
                name="torch_chunk",
                description="chunkwise in plain PyTorch, matrix products and triangular systems, on any device",
                target="vigbench.ops.gated_delta.torch_chunk:torch_chunk",
                own=True,
                dash=DASH_DOT,
            ),
            Implementation(
                name="fla",
                description="flash-linear-attention's chunk_gated_delta_rule, once each way; finite log-decays",
                target="vigbench.ops.gated_delta.external:fla",
                repeatable=False,
                tf32=True,
                float64=False,
                requires=("triton", "fla", "einops"),
                devices=("cuda",),
                infinite_decay=False,
                check="vigbench.ops.gated_delta.external:fla_unsupported_reason",
                must_run=("chunk_gated_delta_rule_fwd*",),
                dash=SHORT_DASHED,
            ),
            Implementation(
                name="flash_qla",
                description="FlashQLA's TileLang kernels, once each way; 128 channels a head, finite log-decays",
                target="vigbench.ops.gated_delta.external:flash_qla",
                repeatable=False,
                float64=False,
                requires=("tilelang", "flash_qla"),
                devices=("cuda",),
                half_only=("cuda",),
                infinite_decay=False,
                check="vigbench.ops.gated_delta.external:flash_qla_unsupported_reason",
                must_run=("*fused_chunk_gdr_fwd*",),
                dash=DASH_DOT_DOT,
            ),
            Implementation(
                name="reference",
                description="the recurrence as defined, token by token, summed in float64 (float32 for half precision)",
                target="vigbench.ops.gated_delta.reference:reference",
                own=True,
                dash=DASHED,
            ),
        ),
        reference="reference",
        check_reference="torch_chunk",
        tolerance={"float32": 4e-6, "bfloat16": 2e-2, "float16": 4e-3, "float64": 1e-10},
        samples="vigbench.ops.gated_delta.samples:samples",
        longest=Limit(16384, 4096),
        subjects=(
            OperatorSubject(
                "gated_delta",
                title="Gated delta rule",
                family="linear",
                directions=1,
                description="the gated delta rule from the first token to the last, keys of unit length",
                call="vigbench.ops.gated_delta:gated_delta",
                inputs=(*INPUTS, Input("g", HEADS, GATE), Input("beta", HEADS, STRENGTH)),
                token_macs=_token_macs,
                memory=1024,
            ),
            OperatorSubject(
                "bidirectional_gated_delta",
                title="Gated delta rule, both ways",
                family="linear",
                directions=2,
                description="the gated delta rule in both directions, the mean of two with gates of their own",
                call="vigbench.ops.gated_delta:bidirectional_gated_delta",
                inputs=(
                    *INPUTS,
                    *(Input(f"g_{way}", HEADS, GATE) for way in ("fwd", "bwd")),
                    *(Input(f"beta_{way}", HEADS, STRENGTH) for way in ("fwd", "bwd")),
                ),
                token_macs=_token_macs,
                memory=1024,
            ),
        ),
    )
)

__all__ = ["bidirectional_gated_delta", "gated_delta"]
__getattr__ = lazy_attributes(__name__, "interface", __all__)
