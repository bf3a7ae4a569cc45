"""Gated slot attention in one and two directions."""

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
    from vigbench.ops.gsa.interface import bidirectional_gsa, gsa

GATE = "vigbench.ops.draws:gsa_log_decay"


def _token_macs(heads: int, key_dim: int, value_dim: int) -> int:
    slots = key_dim
    return 3 * heads * slots * (key_dim + value_dim)  # decay, write, read, of keys and of values


register_operator(
    OperatorInfo(
        name="gsa",
        title="GSA",
        implementations=(
            Implementation(
                name="triton_fused",
                description="chunkwise in Triton: logits and their softmax in one kernel, then GLA's, a direction each",
                target="vigbench.ops.gsa.triton_fused:triton_fused",
                own=True,
                requires=("triton",),
                devices=("cuda",),
                float64=False,
                must_run=("slot_probabilities*", "*k_outputs*"),
            ),
            Implementation(
                name="torch_chunk",
                description="chunkwise matrix products in plain PyTorch, on any device",
                target="vigbench.ops.gsa.torch_chunk:torch_chunk",
                own=True,
                dash=DASH_DOT,
            ),
            Implementation(
                name="fla",
                description="flash-linear-attention's chunk_gsa, once each way; log-decays have to be finite",
                target="vigbench.ops.gsa.external:fla",
                repeatable=False,
                tf32=True,
                requires=("triton", "fla", "einops"),
                devices=("cuda",),
                float64=False,
                infinite_decay=False,
                check="vigbench.ops.gla.external:unsupported_reason",
                must_run=("chunk_gsa_fwd*",),
                dash=SHORT_DASHED,
            ),
            Implementation(
                name="reference",
                description="the recurrence as defined, token by token, summed in float64 (float32 for half precision)",
                target="vigbench.ops.gsa.reference:reference",
                own=True,
                dash=DASHED,
            ),
        ),
        reference="reference",
        check_reference="torch_chunk",
        tolerance={"float32": 4e-6, "bfloat16": 2e-2, "float16": 4e-3, "float64": 1e-10},
        samples="vigbench.ops.gsa.samples:samples",
        longest=Limit(16384, 4096),
        subjects=(
            OperatorSubject(
                "gsa",
                title="GSA",
                family="linear",
                directions=2,
                description="bidirectional gated slot attention, as many slots as key channels",
                call="vigbench.ops.gsa.interface:measured_gsa",
                inputs=(*QKV, Input("g_fwd", KEYS, GATE), Input("g_bwd", KEYS, GATE)),
                token_macs=_token_macs,
                memory=1024,
            ),
        ),
    )
)

__all__ = ["bidirectional_gsa", "gsa"]
__getattr__ = lazy_attributes(__name__, "interface", __all__)
