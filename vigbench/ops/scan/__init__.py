"""The selective scan in one and two directions; registration order is what "auto" prefers."""

from vigbench.ops.registry import Implementation, register
from vigbench.ops.scan.interface import bidirectional_selective_scan, selected_implementation, selective_scan

register(
    Implementation(
        operator="scan",
        name="triton_fused",
        description="in Triton, chunk by chunk, both directions in one launch; the gate inside",
        target="vigbench.ops.scan.triton_fused:triton_fused",
        requires=("triton",),
        devices=("cuda",),
        float64=False,
        must_run=("vigbench::scan_triton_fused", "scan_states*", "scan_outputs*"),
        must_not_run=("vigbench::scan_reference*", "vigbench::scan_torch*", "selective_scan_*"),
    )
)
register(
    Implementation(
        operator="scan",
        name="torch_chunk",
        description="segment by segment in plain PyTorch, on any device, memory linear in the length",
        target="vigbench.ops.scan.torch_chunk:torch_chunk",
        must_run=("vigbench::scan_torch_chunk",),
        must_not_run=("vigbench::scan_reference*", "vigbench::scan_triton*", "selective_scan_*"),
    )
)
register(
    Implementation(
        operator="scan",
        name="mamba_ssm",
        repeatable=False,
        description="mamba-ssm's CUDA kernel, once each way",
        target="vigbench.ops.scan.external:mamba_ssm",
        requires=("mamba_ssm", "selective_scan_cuda"),
        devices=("cuda",),
        check="vigbench.ops.scan.external:unsupported_reason",
        must_run=("*selective_scan_fwd_kernel*",),
        must_not_run=("vigbench::scan_*",),
    )
)
register(
    Implementation(
        operator="scan",
        name="reference",
        description="the recurrence as defined, one token at a time, summed in float64 (float32 for half precision)",
        target="vigbench.ops.scan.reference:reference",
        must_run=("vigbench::scan_reference",),
        must_not_run=("vigbench::scan_torch*", "vigbench::scan_triton*", "selective_scan_*"),
    )
)

__all__ = ["bidirectional_selective_scan", "selected_implementation", "selective_scan"]
