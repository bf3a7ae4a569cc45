import pytest

from vigbench.records.schema import Metrics, Record, Status
from vigbench.runner.budget import LEAST_S, Budget
from vigbench.suites.case import Case
from vigbench.suites.planner import CASE_OVERHEAD_S, MINIMUM_CALLS, MOST_SAMPLING_S


def case(resolution: int, subject: str = "a") -> Case:
    return Case(subject=subject, resolution=resolution)


def finished(one: Case, latency_ms: float, case_s: float) -> Record:
    metrics = Metrics(latency_ms=latency_ms, case_s=case_s)
    return Record(case_id=one.case_id, case=one, family="other", status=Status.ok, started_at="", metrics=metrics)


@pytest.fixture
def budget() -> Budget:
    return Budget(100.0, estimate_s=lambda one: one.resolution / 100, gmacs=lambda one: one.resolution**2 / 1e4)


def test_the_estimate_follows_what_the_run_has_seen(budget: Budget) -> None:
    assert budget.expected_s(case(400)) == 4
    budget.learn(finished(case(100), 10, case_s=3))
    assert budget.expected_s(case(400)) == pytest.approx(12)


def test_a_series_predicts_its_larger_cases_and_no_other_series(budget: Budget) -> None:
    budget.learn(finished(case(100), latency_ms=100, case_s=3))
    assert budget.least_s(case(1000)) > MINIMUM_CALLS * 10
    assert budget.least_s(case(1000, "b")) == CASE_OVERHEAD_S


def test_sampling_time_is_shared_and_bounded(budget: Budget) -> None:
    later = [case(200), case(300), case(400)]
    assert budget.sampling_s(case(100), later, left_s=1e6) == MOST_SAMPLING_S
    assert budget.sampling_s(case(100), later, left_s=0) == LEAST_S
    fair = budget.sampling_s(case(100), later, left_s=52)
    assert fair == pytest.approx((52 - 4 * CASE_OVERHEAD_S) / 4)
