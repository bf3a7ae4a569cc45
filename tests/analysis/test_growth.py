"""Numbers that are not random must not grow, vanish or hide."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import vigbench
from vigbench.analysis.growth import as_markdown, as_text, find_growth

WriteRun = Callable[..., Path]
BASE: dict[str, Any] = {
    "params": 1000,
    "gmacs": 2.5,
    "operator_calls": 40,
    "peak_memory_mib": 245.123,
    "uncounted_operators": "aten::sort",
}


@pytest.fixture
def grown(write_run: WriteRun) -> Callable[..., list[str]]:
    def metrics_that_grew(**changes: Any) -> list[str]:
        sides = [
            write_run(name, {"net": 1.0}, metrics=of) for name, of in (("base", BASE), ("head", {**BASE, **changes}))
        ]
        found = find_growth(*map(vigbench.load_results, sides))
        return list(found[found["grown"]]["metric"])

    return metrics_that_grew


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"params": 999, "peak_memory_mib": 200.0}, []),
        ({"params": 1001}, ["params"]),
        ({"peak_memory_mib": 245.1234}, ["peak_memory_mib"]),
        ({"peak_memory_mib": None}, ["peak_memory_mib"]),
        ({"uncounted_operators": None}, []),
        ({"gmacs": 0.5, "uncounted_operators": "aten::_conjugate_gradient;aten::sort"}, ["uncounted_operators"]),
        ({"gmacs": 0.5, "uncounted_operators": "aten::solve"}, ["uncounted_operators"]),
        ({"kernel_launches": 7}, []),
    ],
)
def test_what_grows_vanishes_or_is_no_longer_counted_is_named(
    grown: Callable[..., list[str]], changes: dict[str, Any], expected: list[str]
) -> None:
    assert grown(**changes) == expected


def test_the_text_shows_the_difference_however_small(write_run: WriteRun) -> None:
    base = vigbench.load_results(write_run("base", {"net": 1.0}, metrics=BASE))
    head = vigbench.load_results(
        write_run("head", {"net": 1.0}, metrics={**BASE, "gmacs": None, "peak_memory_mib": 245.1234})
    )
    text = as_text(find_growth(base, head))
    assert "grew from 245.123 to 245.1234" in text
    assert "10^9 multiply-adds not known any more, was 2.5" in text
    assert "\\^" not in as_markdown(find_growth(base, head)).splitlines()[0]


def test_a_case_that_failed_has_no_metrics_to_miss(write_run: WriteRun) -> None:
    base = vigbench.load_results(write_run("base", {"net": 1.0}, metrics=BASE))
    head = vigbench.load_results(write_run("head", {"net": 1.0}, status="crashed"))
    assert find_growth(base, head).empty, "the comparison of the statuses tells that"
