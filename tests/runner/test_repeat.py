"""Several processes make one record."""

from collections.abc import Sequence
from typing import Any

import pytest

from vigbench.records.schema import Metrics, Status
from vigbench.records.stages import seconds_of
from vigbench.runner import coordinator
from vigbench.runner.coordinator import measure_in_processes
from vigbench.runner.repeat import Measured
from vigbench.suites.case import Case
from vigbench.suites.planner import Plan
from vigbench.worker.messages import Outcome

CASE = Case(subject="resnet18", resolution=32)


def together(monkeypatch: pytest.MonkeyPatch, medians_ms: Sequence[float], **more: Sequence[Any]) -> Measured:
    """What processes with these medians, 1% of noise and other metrics come to."""
    outcomes = iter(
        Outcome(
            status=Status.ok,
            metrics=Metrics(
                latency_ms=middle, throughput_img_per_s=1e3 / middle, **{key: one[at] for key, one in more.items()}
            ),
            samples={"latency_ms": tuple(middle * (1 + 0.01 * (index % 5 - 2) / 2) for index in range(50))},
        )
        for at, middle in enumerate(medians_ms)
    )
    monkeypatch.setattr(coordinator, "run_in_worker", lambda *_, **__: next(outcomes))
    planned = Plan((CASE,), budget_s=1.0, case_timeout_s=1.0, processes=len(medians_ms))
    return measure_in_processes(CASE, planned, sampling_s=1.0, on_stage=lambda stage: None)


@pytest.mark.parametrize("medians_ms", [(10.0, 11.0), (10.0, 11.0, 10.5), (10.0, 10.4, 10.8, 11.0)])
def test_the_interval_holds_the_spread_between_processes(
    monkeypatch: pytest.MonkeyPatch, medians_ms: tuple[float, ...]
) -> None:
    metrics = together(monkeypatch, medians_ms).metrics
    assert metrics.latency_ms == pytest.approx(10.5, rel=0.01)
    assert metrics.latency_low_ms is not None
    assert metrics.latency_high_ms is not None
    assert metrics.latency_low_ms < 10.1
    assert metrics.latency_high_ms > 10.9
    assert metrics.throughput_img_per_s == pytest.approx(1e3 / metrics.latency_ms, rel=0.01)  # type: ignore[operator]


def test_every_reason_of_every_process_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    reasons = (None, "power;heat", "heat;other")
    measured = together(monkeypatch, (10.0, 10.0, 10.0), throttle_reasons=reasons, peak_memory_mib=(1.0, 3.0, 2.0))
    assert measured.metrics.throttle_reasons == "power;heat;other"
    assert measured.metrics.peak_memory_mib == 3.0
    assert measured.metrics.processes == 3
    assert together(monkeypatch, (10.0, 10.0)).metrics.throttle_reasons is None, "nothing told, so nothing known"


def test_kernel_times_of_two_kinds_are_not_averaged(monkeypatch: pytest.MonkeyPatch) -> None:
    sources = ("profile", "events", "events")
    metrics = together(monkeypatch, (10.0, 10.0, 10.0), kernel_ms=(1.0, 4.0, 6.0), kernel_time_source=sources).metrics
    assert (metrics.kernel_ms, metrics.kernel_time_source) == (5.0, "events")
    alike = together(monkeypatch, (10.0, 10.0), kernel_ms=(1.0, 2.0), kernel_time_source=("profile",) * 2).metrics
    assert (alike.kernel_ms, alike.kernel_time_source) == (1.5, "profile")
    assert together(monkeypatch, (10.0, 10.0)).metrics.kernel_time_source is None


def test_a_failure_keeps_the_seconds_of_the_processes_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    fine = Outcome(
        status=Status.ok,
        metrics=Metrics(latency_ms=1.0, throughput_img_per_s=1e3, start_s=1.0, timing_s=2.0, end_s=0.5),
        samples={"latency_ms": (1.0,) * 10},
    )
    failed = Outcome(status=Status.crashed, reason="gone", metrics=Metrics(start_s=0.25, check_s=3.0, end_s=0.5))
    outcomes = iter([fine, failed])
    monkeypatch.setattr(coordinator, "run_in_worker", lambda *_, **__: next(outcomes))
    planned = Plan((CASE,), budget_s=1.0, case_timeout_s=1.0, processes=2)
    measured = measure_in_processes(CASE, planned, sampling_s=1.0, on_stage=lambda stage: None)
    assert measured.status is Status.crashed
    assert seconds_of([measured.metrics]) == {"start": 1.25, "timing": 2.0, "check": 3.0, "end": 1.0}
    assert measured.metrics.latency_ms is None


def test_seconds_of_all_processes_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = together(monkeypatch, (10.0, 10.0), check_s=(1.0, 2.0), reference_s=(0.5, 0.0), end_s=(0.25, 0.25))
    assert (measured.metrics.check_s, measured.metrics.reference_s, measured.metrics.end_s) == (3.0, 0.5, 0.5)
