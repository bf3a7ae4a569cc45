"""Gated linear attention in one and two directions; registration order is what "auto" prefers."""

from vigbench.ops.gla.interface import (
    bidirectional_gla,
    bidirectional_gla_from_logits,
    bidirectional_gla_low_rank,
    gla,
    selected_implementation,
)
from vigbench.ops.registry import Implementation, register

register(
    Implementation(
        operator="gla",
        name="triton_fused",
        description="chunkwise in Triton, both directions in one pass over q, k, v and the gates",
        target="vigbench.ops.gla.triton_fused:triton_fused",
        requires=("triton",),
        devices=("cuda",),
        float64=False,
        must_run=("vigbench::gla_triton_fused*", "chunk_states*", "chunk_outputs*"),
        must_not_run=("vigbench::gla_reference*", "vigbench::gla_torch*", "vigbench::gla_triton_[ru]*"),
    )
)
register(
    Implementation(
        operator="gla",
        name="torch_chunk",
        description="chunkwise matrix products in plain PyTorch, on any device",
        target="vigbench.ops.gla.torch_chunk:torch_chunk",
        must_run=("vigbench::gla_torch_chunk",),
        must_not_run=("vigbench::gla_reference*", "vigbench::gla_triton*"),
    )
)
register(
    Implementation(
        operator="gla",
        name="triton_unfused",
        description="flipped, concatenated and added around the same chunkwise kernels, one direction at a time",
        target="vigbench.ops.gla.triton_unfused:triton_unfused",
        requires=("triton",),
        devices=("cuda",),
        float64=False,
        must_run=("vigbench::gla_triton_unfused", "chunk_states*", "chunk_outputs*"),
        must_not_run=("vigbench::gla_reference*", "vigbench::gla_torch*", "vigbench::gla_triton_[rf]*"),
    )
)
register(
    Implementation(
        operator="gla",
        name="triton_recurrent",
        description="ViG's inference kernel: token by token, both directions in one launch",
        target="vigbench.ops.gla.triton_recurrent:triton_recurrent",
        requires=("triton",),
        devices=("cuda",),
        float64=False,
        training=False,
        must_run=("vigbench::gla_triton_recurrent", "recurrence*"),
        must_not_run=("vigbench::gla_reference*", "vigbench::gla_torch*", "vigbench::gla_triton_[uf]*"),
    )
)
register(
    Implementation(
        operator="gla",
        name="fla",
        repeatable=False,
        tf32=True,
        description="flash-linear-attention's chunk_gla, once each way; log-decays have to be finite",
        target="vigbench.ops.gla.external:fla",
        requires=("triton", "fla", "einops"),
        devices=("cuda",),
        infinite_decay=False,
        check="vigbench.ops.gla.external:unsupported_reason",
        must_run=("chunk_gla_fwd*",),
        must_not_run=("vigbench::gla_*",),
    )
)
register(
    Implementation(
        operator="gla",
        name="reference",
        description="the recurrence as defined, one token at a time, summed in float64 (float32 for half precision)",
        target="vigbench.ops.gla.reference:reference",
        must_run=("vigbench::gla_reference",),
        must_not_run=("vigbench::gla_torch*", "vigbench::gla_triton*"),
    )
)

__all__ = [
    "bidirectional_gla",
    "bidirectional_gla_from_logits",
    "bidirectional_gla_low_rank",
    "gla",
    "selected_implementation",
]
