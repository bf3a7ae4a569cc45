"""What only a CUDA device can show: pytest -m gpu."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import vigbench
from vigbench.measure.memory import MIB, measure_memory
from vigbench.ops.gla import bidirectional_gla
from vigbench.records.stages import seconds_of
from vigbench.runner.process import run_in_worker
from vigbench.suites.case import Case
from vigbench.suites.planner import Overrides
from vigbench.worker.messages import Job

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


@pytest.mark.parametrize(("dtype", "allowed"), [(torch.float32, 2e-6), (torch.bfloat16, 1e-2), (torch.float16, 2e-3)])
def test_torch_chunk_matches_the_float64_reference(dtype: torch.dtype, allowed: float) -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, gf, gb = (torch.randn(2, 777, 3, 32, generator=generator) for _ in range(4))
    v = torch.randn(2, 777, 3, 64, generator=generator)
    gf, gb = torch.nn.functional.logsigmoid(gf) / 16, torch.nn.functional.logsigmoid(gb) / 16
    rounded = [x.to(dtype) for x in (q, k, v, gf, gb)]
    expected = bidirectional_gla(*(x.double() for x in rounded), implementation="reference")
    found = bidirectional_gla(*(x.cuda() for x in rounded), implementation="torch_chunk").cpu().double()
    assert (found - expected).abs().max() / expected.abs().max() <= allowed


class _Allocates(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.full((100 * MIB,), 1.0, device=x.device)[:1] + x[:1]


def test_a_known_allocation_is_found() -> None:
    inputs = torch.ones(MIB, device="cuda")
    memory = measure_memory(lambda: _Allocates()(inputs), _Allocates(), inputs)
    assert memory.activations == pytest.approx(400 * MIB, rel=0.05)
    assert memory.reserved is not None
    assert memory.reserved >= memory.activations


@pytest.mark.alone
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("subject", "implementation"),
    [("vig_tiny_patch16_224", "torch_chunk"), ("deit_tiny_patch16_224", "eager"), ("deit_tiny_patch16_224", "sdpa")],
)
def test_a_case_is_measured(subject: str, implementation: str, precision: str) -> None:
    case = Case(
        subject=subject, implementation=implementation, resolution=224, precision=precision, device="cuda", batch_size=8
    )
    outcome = run_in_worker(Job(case=case, budget_s=2.0), timeout_s=120, on_stage=lambda stage: None)
    assert outcome.status == "ok", outcome.reason
    assert outcome.metrics.throughput_per_s is not None
    assert outcome.metrics.latency_ms is not None
    assert outcome.metrics.throughput_per_s >= 0.8 * 8e3 / outcome.metrics.latency_ms


@pytest.mark.alone
def test_more_than_the_device_holds_is_out_of_memory_and_the_next_case_runs() -> None:
    huge = Case(subject="resnet50", resolution=8192, batch_size=64, device="cuda")
    outcome = run_in_worker(Job(case=huge, budget_s=1.0), timeout_s=300, on_stage=lambda stage: None)
    assert outcome.status == "out_of_memory", outcome.reason
    small = Case(subject="resnet50", resolution=64, device="cuda")
    outcome = run_in_worker(Job(case=small, budget_s=1.0), timeout_s=120, on_stage=lambda stage: None)
    assert outcome.status == "ok", outcome.reason


@pytest.mark.alone
def test_the_smoke_suite_runs_on_cuda(tmp_path: Path) -> None:
    run = vigbench.run("smoke", out=tmp_path, device="cuda", overrides=Overrides(budget=300.0))
    records = run.store.records()
    assert {record.status for record in records} == {"ok"}
    for metrics in (record.metrics for record in records):
        assert metrics.device_s is not None
        assert metrics.device_s > 0
        assert sum(seconds_of([metrics]).values()) == pytest.approx(metrics.case_s)


def test_a_second_case_finds_its_reference_kept(tmp_path: Path) -> None:
    seconds = []
    for batch in (1, 2):
        case = Case(
            subject="vig_tiny_patch16_224",
            implementation="torch_chunk",
            resolution=512,
            batch_size=batch,
            precision="bfloat16",
            device="cuda",
        )
        job = Job(case=case, budget_s=1.0, references=str(tmp_path))
        outcome = run_in_worker(job, timeout_s=120, on_stage=lambda stage: None)
        assert outcome.status == "ok", outcome.reason
        seconds.append(outcome.metrics.reference_s)
    assert seconds[0] is not None
    assert seconds[0] > 0
    assert seconds[1] == 0.0
