from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigbench.runner.max_batch import EXACT_UP_TO, MOST_BATCH, find_largest_batch, largest_that_fits
from vigbench.suites.case import Case


@given(st.integers(1, MOST_BATCH))
def test_bisection_finds_the_limit_in_few_attempts(limit: int) -> None:
    asked: list[int] = []

    def fits(batch: int) -> bool:
        asked.append(batch)
        return batch <= limit

    found = largest_that_fits(fits)
    assert found <= limit <= found + max(0, found // EXACT_UP_TO)
    assert len(asked) <= 24
    assert len(asked) == len(set(asked)), "no batch is tried twice"


def test_a_search_that_starts_too_high_goes_down() -> None:
    assert largest_that_fits(lambda batch: batch <= 5, start=32) == 5
    assert largest_that_fits(lambda batch: 2 <= batch <= 40, start=8) == 40, "one that cannot run at batch 1"
    assert largest_that_fits(lambda batch: False, start=32) == 0


def test_the_largest_batch_of_a_subject_of_known_size(subjects: Path) -> None:
    case = Case(subject="misbehaving:allocates_per_image", resolution=32, threads=1)  # 16 MiB for each image
    tried: list[str] = []
    found = find_largest_batch(case, memory_limit_mib=330, timeout_s=1200, on_stage=tried.append)
    assert 16 <= found <= 20, tried
    assert find_largest_batch(case, memory_limit_mib=4, timeout_s=1200, on_stage=tried.append) == 0


@pytest.mark.slow
@pytest.mark.usefixtures("short_sampling")
def test_a_run_with_max_batch_says_it_in_the_record(subjects: Path, tmp_path: Path) -> None:
    import vigbench
    from vigbench.runner.max_batch import BatchLimits
    from vigbench.runner.run import continue_run, start_run

    suite = tmp_path / "one.yaml"
    suite.write_text(
        "name: one\nquestion: How many?\nsubjects: ['misbehaving:allocates_per_image']\n"
        "profiles: {cpu: {resolution: 32, threads: 1, budget: 2h, case_timeout: 20m}}\n"
    )
    store, planned = start_run(suite, out=tmp_path, device="cpu")
    assert continue_run(store, planned, batch_limits=BatchLimits(330, 1200))
    assert 16 <= vigbench.load_results(store.folder)["largest_batch"][0] <= 20
