"""Training steps on a real CUDA device: pytest -m gpu."""

from typing import Any

import pytest
import torch

from vigbench.records.schema import Status
from vigbench.suites.case import Case
from vigbench.worker.measure_case import measure_case
from vigbench.worker.messages import Outcome

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


def measured(**settings: Any) -> Outcome:
    case = {"subject": "deit_tiny_patch16_224", "implementation": "sdpa", "resolution": 64, "batch_size": 8}
    step = {"phase": "training_step", "device": "cuda"}
    return measure_case(Case.model_validate({**case, **step, **settings}), 2.0, lambda stage: None)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("compiled", [False, True])
def test_a_step_has_its_parts_and_its_memory_adds_up(precision: str, compiled: bool) -> None:
    outcome = measured(precision=precision, compile=compiled)
    assert outcome.status is Status.ok, outcome.reason
    metrics = outcome.metrics.model_dump()
    assert all(metrics[name] > 0 for name in ("forward_ms", "backward_ms", "optimizer_ms"))
    held = ("weights_mib", "inputs_mib", "optimizer_state_mib", "gradients_at_peak_mib", "activation_memory_mib")
    assert sum(metrics[name] for name in held) == pytest.approx(metrics["peak_memory_mib"])
    assert 0 <= metrics["gradients_at_peak_mib"] <= metrics["gradients_mib"] == pytest.approx(metrics["weights_mib"])
    assert metrics["activation_memory_mib"] > 0


def test_a_captured_step_updates_the_weights_and_has_no_parts() -> None:
    outcome = measured(cuda_graph=True)
    assert outcome.status is Status.ok, outcome.reason  # its replay was compared with AdamW's rule
    assert str(outcome.metrics.optimizer).endswith("fused, capturable)")
    assert (outcome.metrics.forward_ms, outcome.metrics.optimizer_ms) == (None, None)
    assert outcome.metrics.loss_drift is not None
