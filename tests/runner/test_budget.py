import pytest

from vigbench.records.metrics import Metrics
from vigbench.records.schema import Record, Status
from vigbench.runner.budget import FIRST_PLACES, LEAST_LIMIT_S, LEAST_S, PATIENCE, Budget
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
    needed = sum(map(budget.needed_s, later))
    assert needed > 3 * CASE_OVERHEAD_S, "the plan's guess counts where nothing else is known"
    assert fair == pytest.approx((52 - CASE_OVERHEAD_S - needed) / 4)


def test_what_a_case_takes_beside_its_calls_is_the_least_that_was_seen(budget: Budget) -> None:
    def seen(resolution: int, **metrics: float) -> Record:
        one = finished(case(resolution), latency_ms=1.0, case_s=0.0)
        return one.model_copy(update={"metrics": Metrics(latency_ms=1.0, **metrics)})

    budget.learn(seen(100, case_s=20.0, timing_s=2.0, warmup_s=1.0))  # the first waits for imports
    assert budget.least_s(case(1000, "b")) == pytest.approx(17.0)
    budget.learn(seen(100, case_s=14.0, timing_s=5.0, warmup_s=1.0, attempts=2))
    assert budget.least_s(case(1000, "b")) == pytest.approx(4.0)
    budget.learn(seen(200, case_s=30.0, timing_s=5.0, warmup_s=1.0))
    assert budget.least_s(case(1000, "b")) == pytest.approx(4.0)
    fair = budget.sampling_s(case(100, "b"), (later := [case(200, "c"), case(300, "d")]), left_s=80.0)
    assert fair == pytest.approx((80 - 4.0 - sum(map(budget.needed_s, later))) / 3), "the others still fit"


def test_a_case_that_failed_tells_nothing_of_what_one_takes(budget: Budget) -> None:
    metrics = Metrics(case_s=0.2, timing_s=0.0)
    budget.learn(finished(case(100), 1.0, 0.2).model_copy(update={"status": Status.error, "metrics": metrics}))
    assert budget.least_s(case(1000, "b")) == CASE_OVERHEAD_S


def test_where_all_fits_the_smallest_size_comes_first(budget: Budget) -> None:
    cases = [case(400), case(100), case(100, "b")]
    assert budget.next_of(cases, left_s=1e6).resolution == 100


def test_where_time_is_short_what_matters_most_comes_first_unless_it_takes_the_time_of_many(budget: Budget) -> None:
    main, usual, fifth = case(1000), case(500, "b"), case(300, "e")
    budget.places = {main: FIRST_PLACES, usual: FIRST_PLACES + 1, fifth: FIRST_PLACES + 7}
    assert budget.next_of([fifth, usual, main], left_s=12.0) == main
    assert budget.next_of([fifth, usual], left_s=7.0) == usual
    slow = Budget(100.0, lambda one: 100.0 if one == usual else 5.0, gmacs=lambda one: 1.0, places=budget.places)
    assert slow.next_of([fifth, usual], left_s=12.0) == fifth
    assert slow.next_of([fifth, usual, main], left_s=12.0) == main


def test_what_was_set_aside_comes_last(budget: Budget) -> None:
    cases = [case(100), case(400)]
    assert budget.next_of(cases, 1e6, set_aside={cases[0]}) == cases[1]
    assert budget.next_of(cases[:1], 1e6, set_aside={cases[0]}) == cases[0]


def test_a_case_is_stopped_at_several_times_its_share_while_others_wait(budget: Budget) -> None:
    assert budget.most_s(case(100), [], left_s=0.0) == LEAST_LIMIT_S
    later = [case(200 + number) for number in range(9)]
    assert budget.most_s(case(100), later, left_s=100.0) == PATIENCE * 10


def test_a_case_that_is_judged_too_slow_waits_for_what_more_of_its_series_tells(budget: Budget) -> None:
    budget.learn(finished(case(100), latency_ms=1000, case_s=3))
    cases = [case(1000), case(200), case(2000, "b")]
    assert budget.next_of(cases, 1e6, limit_s=100.0) == case(200)
    assert budget.next_of([case(1000), case(2000, "b")], 1e6, limit_s=100.0) == case(2000, "b")
    budget.learn(finished(case(200), latency_ms=100, case_s=3))
    assert budget.next_of([case(1000), case(2000, "b")], 1e6, limit_s=100.0) == case(1000)
