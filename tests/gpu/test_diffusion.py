"""DiG and DiT on a real GPU: the kernels of the former, the attention of the latter, and a sample's steps."""

from typing import Any

import pytest
import torch

import vigbench
from vigbench.measure.correctness import gradient_error, relative_error
from vigbench.subjects.catalog import build_case, fill_weights
from vigbench.subjects.diffusion import DiffusionTask
from vigbench.subjects.task import Result
from vigbench.suites.axes import Phase
from vigbench.suites.case import Case
from vigbench.worker.measure_case import measure_case

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]
TASK = DiffusionTask()
ALLOWED, GRADIENTS_ALLOWED = 3e-2, 1e-1  # of a model in bfloat16, against float32


def case_of(subject: str, implementation: str, **settings: Any) -> Case:
    phase = Phase.training
    return vigbench.create_case(
        subject, implementation=implementation, resolution=256, device="cuda", phase=phase, **settings
    )


def result_of(case: Case, dtype: torch.dtype) -> Result:
    model = build_case(case)
    fill_weights(model, 0)
    inputs = {name: x.to(dtype) if name == "x" else x for name, x in TASK.make_inputs(case).items()}
    return TASK.result(model.cuda().to(dtype).eval(), inputs, trains=True)


@pytest.mark.parametrize("scan_order", ["released", "raster"])
@pytest.mark.parametrize("implementation", ["triton_fused", "triton_unfused"])
def test_dig_computes_what_the_reference_does(implementation: str, scan_order: str) -> None:
    args = {"scan_order": scan_order}
    expected = result_of(case_of("dig_small_patch2", "torch_chunk", args=args), torch.float32)
    found = result_of(case_of("dig_small_patch2", implementation, args=args), torch.bfloat16)
    for name, output in expected[0].items():
        assert relative_error(found[0][name].float(), output, "norm") <= ALLOWED
    error, name = gradient_error(found[1], expected[1])
    assert error <= GRADIENTS_ALLOWED, name


@pytest.mark.parametrize("implementation", ["eager", "sdpa", "sdpa_flash", "sdpa_cudnn", "flex"])
@pytest.mark.parametrize("subject", ["dit_small_patch2", "dit_xlarge_patch2"])  # heads of 64 and of 72
def test_dit_by_every_attention_that_takes_its_heads(subject: str, implementation: str) -> None:
    case = case_of(subject, implementation, precision="bfloat16").model_copy(update={"phase": Phase.inference})
    outcome = measure_case(case, 0.5, lambda stage: None)
    assert outcome.status in ("ok", "unsupported"), outcome.reason
    if implementation in ("eager", "sdpa"):
        assert outcome.status == "ok", outcome.reason


def test_a_sample_is_replayed_as_a_graph() -> None:
    case = case_of("dig_small_patch2", "triton_fused", precision="bfloat16", cuda_graph=True)
    outcome = measure_case(case.model_copy(update={"phase": Phase.sampling}), 0.5, lambda stage: None)
    assert outcome.status == "ok", outcome.reason
