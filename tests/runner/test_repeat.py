"""Several processes make one record."""

from collections.abc import Sequence
from typing import Any

import pytest

from vigbench.records.column import Combine, QuantityKind
from vigbench.records.metrics import COLUMNS, Metrics
from vigbench.records.schema import Status
from vigbench.records.stages import seconds_of
from vigbench.runner import coordinator, repeat
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
                latency_ms=middle, throughput_per_s=1e3 / middle, **{key: one[at] for key, one in more.items()}
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
    assert metrics.throughput_per_s == pytest.approx(1e3 / metrics.latency_ms, rel=0.01)  # type: ignore[operator]


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
        metrics=Metrics(latency_ms=1.0, throughput_per_s=1e3, start_s=1.0, timing_s=2.0, end_s=0.5),
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


NUMBERS: dict[Combine, tuple[tuple[Any, ...], Any]] = {  # of three processes, and what they make
    Combine.largest: ((2, 7, 3), 7),
    Combine.smallest: ((2, 7, 3), 2),
    Combine.total: ((2, 7, 3), 12),
    Combine.middle: ((2, 7, 3), 3),
    Combine.same: ((2, 2, 2), 2),
}
TEXTS: dict[Combine, tuple[tuple[Any, ...], Any]] = {
    Combine.joined: (("a;b", "b", "c;a"), "a;b;c"),
    Combine.same: (("a", "a", "a"), "a"),
}


@pytest.mark.parametrize("name", [name for name in COLUMNS if name != "kernel_time_source"])
def test_no_column_takes_the_value_of_the_first_process_unsaid(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    column = COLUMNS[name]
    known = TEXTS if column.kind is QuantityKind.text else NUMBERS
    medians_ms = (10.0, 10.0, 10.0)
    if column.combine not in known:
        assert column.combine in (Combine.estimate, Combine.afterwards)
        return
    values, expected = known[column.combine]
    assert getattr(together(monkeypatch, medians_ms, **{name: values}).metrics, name) == expected
    some = (None, *values[1:])
    assert getattr(together(monkeypatch, medians_ms, **{name: some}).metrics, name) is not None, "of those that know it"
    assert getattr(together(monkeypatch, medians_ms).metrics, name) is None


def test_every_way_to_combine_is_known() -> None:
    assert {*repeat.COMBINED, Combine.estimate, Combine.afterwards} == set(Combine)


def test_the_worst_error_and_the_most_launches_of_all_processes_count(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = together(
        monkeypatch, (10.0, 10.0), output_error=(1e-6, 1e-3), gradient_error=(1e-5, 1e-6), kernel_launches=(7, 9)
    ).metrics
    assert (metrics.output_error, metrics.gradient_error, metrics.kernel_launches) == (1e-3, 1e-5, 9)


def test_the_calls_on_the_disk_are_those_that_the_columns_count(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = iter([2, 5])

    def run(*_: object, **__: object) -> Outcome:
        count = next(counts)
        return Outcome(
            status=Status.ok,
            metrics=Metrics(latency_ms=1.0, operator_calls=count, kernel_launches=count),
            samples={"latency_ms": (1.0,) * 10},
            operators={"aten::mm": count},
            kernels={"gemm": count},
        )

    monkeypatch.setattr(coordinator, "run_in_worker", run)
    planned = Plan((CASE,), budget_s=1.0, case_timeout_s=1.0, processes=2)
    measured = measure_in_processes(CASE, planned, sampling_s=1.0, on_stage=lambda stage: None)
    assert (measured.operators, measured.kernels) == ({"aten::mm": 5}, {"gemm": 5})
    assert (measured.metrics.operator_calls, measured.metrics.kernel_launches) == (5, 5)


def test_processes_that_differ_in_what_follows_from_the_case_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = together(monkeypatch, (10.0, 10.0, 10.0), params=(5, 6, 5), gmacs=(1.0,) * 3, end_s=(1.0, 2.0, 3.0))
    assert measured.status is Status.error
    assert "params (5 and 6)" in measured.reason
    assert "gmacs" not in measured.reason
    assert measured.metrics == Metrics(end_s=6.0), "no numbers, but what it took"
