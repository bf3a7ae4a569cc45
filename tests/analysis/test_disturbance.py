"""One rule says which values carry a conclusion: those that nothing disturbed."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.analysis.growing import PX
from vigbench.analysis.disturbance import BESIDE, RISING, TIMED, find_falls, left_out, names_of
from vigbench.records.column import QuantityKind
from vigbench.records.metrics import COLUMNS

LATENCY = "latency_ms"


def row(px: int, latency: float | None = 10.0, **more: Any) -> dict[str, Any]:
    """A record on a CPU whose time is known within 1%; processes may differ by 5% more."""
    known = {} if latency is None else {"latency_low_ms": latency * 0.99, "latency_high_ms": latency * 1.01}
    return {"subject": "deit_tiny", "implementation": "sdpa", "status": "ok", "device": "cpu", "marks": "",
            "resolution": px, "length": float("nan"), LATENCY: latency, **known, **more}  # fmt: skip


def curve(*latencies: float, **more: Any) -> list[dict[str, Any]]:
    return [row(px, latency, **more) for px, latency in zip(PX, latencies, strict=False)]


@pytest.mark.parametrize("name", COLUMNS)
def test_other_processes_disturb_times_rates_and_energy_and_nothing_else(name: str) -> None:
    (unsound,) = left_out([row(224, marks="not_converged;contended")])
    timed = COLUMNS[name].kind in (QuantityKind.time, QuantityKind.rate, QuantityKind.energy)
    assert (name in unsound) == timed


@pytest.mark.parametrize("marks", ["", "not_converged;unsteady", None, float("nan")])
def test_any_other_mark_leaves_nothing_out(marks: Any) -> None:
    assert left_out([row(224, marks=marks)]) == [frozenset()]


@given(st.lists(st.floats(1e-3, 1e6), min_size=2, max_size=5))
def test_what_is_left_of_a_curve_never_falls(latencies: list[float]) -> None:
    rows = curve(*latencies)
    left = [one for one, unsound in zip(rows, left_out(rows), strict=True) if LATENCY not in unsound]
    assert find_falls(left) == []


@given(st.lists(st.floats(1e-3, 1e6), min_size=2, max_size=5))
def test_a_curve_that_rises_loses_nothing(latencies: list[float]) -> None:
    assert left_out(curve(*sorted(latencies))) == [frozenset()] * len(latencies)


def test_of_a_fall_neither_value_counts_nor_what_is_made_of_the_same_calls() -> None:
    found = left_out(curve(200, 1651, 870, 1900, 4000))
    of_both = {LATENCY, *BESIDE[LATENCY]}
    assert found == [frozenset(), of_both, of_both, frozenset(), frozenset()]


def test_a_difference_that_noise_explains_is_no_fall() -> None:
    assert find_falls(curve(100, 99, 97, 200, 300)) == []
    assert find_falls(curve(100, 85)) == [], "another process of the same case may differ by a tenth"
    assert len(find_falls(curve(100, 60))) == 1


def test_a_disturbed_case_does_not_take_its_neighbours_with_it() -> None:
    rows = curve(10, 900, 50, 90, 200)
    rows[1]["marks"] = "contended"
    assert [LATENCY in unsound for unsound in left_out(rows)] == [False, True, False, False, False]
    (fall,) = find_falls(rows)
    assert fall.sentence("x").endswith("other processes disturbed the one at 384 px.")


@pytest.mark.parametrize(
    "other", [{"implementation": "eager"}, {"run": "b"}, {"batch_size": 2}, {"resolution": "512x1024"}]
)
def test_curves_are_never_mixed(other: dict[str, Any]) -> None:
    rows = [row(384, 100.0, run="a", batch_size=1), row(512, 10.0, **{"run": "a", "batch_size": 1, **other})]
    assert find_falls(rows) == []


def test_memory_and_counts_must_rise_too_and_times_stay_sound() -> None:
    for name in ("peak_memory_mib", "gmacs"):
        rows = [row(px, float(px), **{name: value}) for px, value in zip(PX, (10, 90, 60, 80, 120), strict=True)]
        assert left_out(rows) == [frozenset(), {name}, {name}, frozenset(), frozenset()]
    assert set(RISING) <= set(COLUMNS)
    assert TIMED.isdisjoint({"peak_memory_mib", "gmacs", "params"})


def test_kernel_times_of_two_sources_are_not_held_against_each_other() -> None:
    times = [(384, 9.0, "profile"), (512, 5.0, "events")]
    rows = [row(px, None, kernel_ms=value, kernel_time_source=source, device="cuda") for px, value, source in times]
    assert find_falls(rows) == []
    assert len(find_falls([{**one, "kernel_time_source": "events"} for one in rows])) == 1


def test_a_fall_in_words() -> None:
    rows = [row(384, 1651.0), row(512, 870.0)]
    (fall,) = find_falls(rows)
    assert fall.sentence(names_of(rows)[0]) == (
        "deit_tiny [sdpa] took longer at 384 px (1,651 ms) than at 512 px (870 ms): one of the two was disturbed."
    )
    (memory,) = find_falls([row(384, 1.0, peak_memory_mib=90.0), row(512, 2.0, peak_memory_mib=60.0)])
    assert memory.sentence("deit").startswith("deit needed more memory at 384 px (90 MiB) than at 512 px (60 MiB): ")
    (count,) = find_falls([row(384, 1.0, gmacs=9.0), row(512, 2.0, gmacs=6.0)])
    assert count.sentence("deit").startswith("deit had more multiply-adds at 384 px (9 GMACs) than at 512 px (6 GMACs)")


def test_activations_and_peak_that_fall_together_are_one_fall() -> None:
    rows = [row(px, 1.0 * px, peak_memory_mib=value, activation_memory_mib=value) for px, value in ((384, 9), (512, 6))]
    assert len(find_falls(rows)) == 1


def test_a_name_says_what_tells_its_setting_from_others() -> None:
    rows = [row(224, precision="float32", batch_size=batch) for batch in (1, 8)]
    assert names_of(rows) == ["deit_tiny [sdpa] (batch 1)", "deit_tiny [sdpa] (batch 8)"]
    assert all(one != other for one, other in pairwise(names_of([row(224, run="a"), row(224, run="b")])))
