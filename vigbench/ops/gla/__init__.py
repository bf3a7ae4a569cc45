"""Gated linear attention in one and two directions; registration order is what "auto" prefers."""

from vigbench.ops.gla.interface import bidirectional_gla, gla
from vigbench.ops.registry import Implementation, register

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
        name="triton_recurrent",
        description="ViG's inference kernel: token by token, both directions in one launch",
        target="vigbench.ops.gla.triton_recurrent:triton_recurrent",
        requires=("triton",),
        devices=("cuda",),
        training=False,
        must_run=("vigbench::gla_triton_recurrent", "recurrence*"),
        must_not_run=("vigbench::gla_reference*", "vigbench::gla_torch*"),
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

__all__ = ["bidirectional_gla", "gla"]
