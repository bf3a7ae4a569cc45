"""Networks of volumes on a real GPU: GLIMS' dilated convolutions by Triton, attention with a bias, a whole scan."""

from typing import Any

import pytest
import torch

import vigbench
from vigbench.measure.correctness import gradient_error, relative_error
from vigbench.subjects.catalog import build_case, fill_weights
from vigbench.subjects.task import Result
from vigbench.subjects.volume import VolumeTask
from vigbench.suites.case import Case
from vigbench.worker.measure_case import measure_case

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]
TASK = VolumeTask()


def case_of(subject: str, **settings: Any) -> Case:
    return vigbench.create_case(subject, **{"resolution": 64, "device": "cuda", **settings})


def result_of(case: Case, dtype: torch.dtype) -> Result:
    model = build_case(case)
    fill_weights(model, 0)
    inputs = {name: x.to(dtype) for name, x in TASK.make_inputs(case).items()}
    return TASK.result(model.cuda().to(dtype).eval(), inputs, trains=True)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_glims_by_triton_computes_what_torch_does(precision: str) -> None:
    expected = result_of(case_of("glims", phase="training"), torch.float32)
    fused = case_of("glims", phase="training", args={"dilated_convs": "triton_fused"})
    found = result_of(fused, getattr(torch, precision))
    assert len(expected[0]) == 4
    for name, output in expected[0].items():
        assert relative_error(found[0][name].float(), output, "norm") <= TASK.tolerance[precision]
    error, name = gradient_error(found[1], expected[1])
    assert error <= TASK.gradient_tolerance[precision], name


@pytest.mark.parametrize("implementation", ["eager", "sdpa", "sdpa_efficient"])
@pytest.mark.parametrize("subject", ["glims", "swin_unetr"])
def test_attention_with_a_bias_by_every_backend_that_takes_one(subject: str, implementation: str) -> None:
    if subject != "glims":
        pytest.importorskip("monai")
    case = case_of(subject, implementation=implementation, precision="bfloat16")
    outcome = measure_case(case, 0.5, lambda stage: None)
    assert outcome.status == "ok", outcome.reason


@pytest.mark.parametrize("gather", ["device", "host"])
def test_a_whole_scan_is_put_together_where_it_is_said(gather: str) -> None:
    pytest.importorskip("monai", minversion="1.6")
    settings = {"phase": "sliding_window", "roi": 32, "window_batch": 4, "gather": gather}
    case = case_of("segresnet", resolution="64x64x48", precision="bfloat16", **settings)
    outcome = measure_case(case, 0.5, lambda stage: None)
    assert outcome.status == "ok", outcome.reason
    assert outcome.metrics.process_peak_memory_mib is not None
