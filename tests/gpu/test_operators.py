"""Operators on a CUDA device: pytest -m gpu."""

from pathlib import Path

import pytest
import torch

import vigbench
from vigbench.runner.process import run_in_worker
from vigbench.suites.case import Case
from vigbench.suites.planner import Overrides
from vigbench.worker.messages import Job

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


@pytest.mark.parametrize("phase", ["inference", "training"])
def test_attention_at_vig_s_shape_runs_through_flash_attention(phase: str) -> None:
    case = Case(
        subject="attention",
        implementation="sdpa",
        length=1024,
        heads=3,
        key_dim=32,
        value_dim=64,
        batch_size=2,
        precision="bfloat16",
        phase=phase,
        device="cuda",
    )
    outcome = run_in_worker(Job(case=case, budget_s=2.0), timeout_s=120, on_stage=lambda stage: None)
    assert outcome.status == "ok", outcome.reason
    assert outcome.metrics.sdpa_backend == "flash"


@pytest.mark.alone
def test_the_suite_runs_and_stays_below_the_ceilings(tmp_path: Path) -> None:
    overrides = Overrides(length=[196, 1024], shape=["3x32x64"], budget=300.0)
    run = vigbench.run("kernels-gla", out=tmp_path, device="cuda", overrides=overrides)
    records = run.store.records()
    assert {record.status.value for record in records} <= {"ok", "unsupported"}
    for record in records:
        if record.status == "unsupported":
            assert "no backward" in record.reason or "not installed" in record.reason
            continue
        metrics = record.metrics
        assert metrics.kernel_ms is not None
        assert metrics.kernel_time_source in ("events", "profile")
        assert metrics.bandwidth_share is not None
        assert metrics.compute_share is not None
        assert 0 < metrics.bandwidth_share < 1
        assert 0 < metrics.compute_share < 1
