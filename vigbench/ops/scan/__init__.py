"""The selective scan in one and two directions."""

from typing import TYPE_CHECKING

from vigbench.ops.declaration import DASH_DOT, DASHED, SHORT_DASHED, Implementation, Limit, OperatorInfo
from vigbench.ops.lazy import lazy_attributes
from vigbench.ops.registry import register_operator

if TYPE_CHECKING:
    from vigbench.ops.scan.interface import bidirectional_selective_scan, selected_implementation, selective_scan


register_operator(
    OperatorInfo(
        name="scan",
        title="Selective scan",
        implementations=(
            Implementation(
                name="triton_fused",
                description="in Triton, states stay in registers all along, both directions at once; the gate inside",
                target="vigbench.ops.scan.triton_fused:triton_fused",
                own=True,
                fused_blocks=True,
                requires=("triton",),
                devices=("cuda",),
                float64=False,
                must_run=("scan_outputs*",),
                must_not_run=("selective_scan_*",),
            ),
            Implementation(
                name="torch_chunk",
                description="segment by segment in plain PyTorch, on any device, memory linear in the length",
                target="vigbench.ops.scan.torch_chunk:torch_chunk",
                own=True,
                must_not_run=("selective_scan_*",),
                dash=DASH_DOT,
            ),
            Implementation(
                name="mamba_ssm",
                description="mamba-ssm's CUDA kernel, once each way",
                target="vigbench.ops.scan.external:mamba_ssm",
                repeatable=False,
                fused_blocks=True,
                requires=("mamba_ssm", "selective_scan_cuda"),
                devices=("cuda",),
                check="vigbench.ops.scan.external:unsupported_reason",
                must_run=("*selective_scan_fwd_kernel*",),
                dash=SHORT_DASHED,
            ),
            Implementation(
                name="reference",
                description="the recurrence as defined, token by token, summed in float64 (float32 for half precision)",
                target="vigbench.ops.scan.reference:reference",
                own=True,
                must_not_run=("selective_scan_*",),
                dash=DASHED,
            ),
        ),
        reference="reference",
        check_reference="torch_chunk",
        tolerance={"float32": 4e-6, "bfloat16": 1e-2, "float16": 2e-3, "float64": 1e-10},
        samples="vigbench.ops.scan.samples:samples",
        largest_px=Limit(512, 224),  # it goes token by token: seconds beyond
    )
)

__all__ = ["bidirectional_selective_scan", "selected_implementation", "selective_scan"]
__getattr__ = lazy_attributes(__name__, "interface", __all__)
