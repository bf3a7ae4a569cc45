"""How a worker's threads wait follows from who else wants the cores, and the user's own word comes first."""

import threading
from pathlib import Path

import pytest

from vigbench.measure import waiting
from vigbench.measure.waiting import neighbours_per_core, waiting_for, waiting_here


def test_the_more_others_want_a_core_the_sooner_threads_sleep() -> None:
    rounds = [int(waiting_for(neighbours, {})["GOMP_SPINCOUNT"]) for neighbours in (0.0, 0.2, 0.5, 1.0, 1.4, 2.0, 50.0)]
    assert rounds == sorted(rounds, reverse=True)
    assert rounds[0] > rounds[3] > rounds[-1]


@pytest.mark.parametrize("said", [{"OMP_WAIT_POLICY": "passive"}, {"GOMP_SPINCOUNT": "7"}])
def test_what_the_user_has_set_holds(said: dict[str, str]) -> None:
    assert all(waiting_for(neighbours, {**said, "HOME": "x"}) == said for neighbours in (0.0, 1.0, 9.0))


def test_a_process_tells_how_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.setenv("GOMP_SPINCOUNT", "20000")
    assert waiting_here() == "GOMP_SPINCOUNT=20000"
    monkeypatch.delenv("GOMP_SPINCOUNT")
    assert waiting_here() == ""


@pytest.mark.parametrize(("running", "expected"), [(1, 0.0), (5, 1.0), (9, 2.0), (0, 0.0)])
def test_neighbours_are_those_in_the_queue_without_who_looks(
    running: int, expected: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("psutil.cpu_count", lambda: 4)
    monkeypatch.setattr(waiting, "sleep", lambda _: None)
    stat = tmp_path / "stat"
    stat.write_text(f"cpu  1 2 3\nprocs_running {running}\nprocs_blocked 0\n")
    assert neighbours_per_core(stat) == expected


def test_where_there_is_no_queue_to_look_at_the_load_says_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psutil.cpu_percent", lambda interval: 75.0)
    assert neighbours_per_core(tmp_path / "none") == 0.75


def test_looking_leaves_the_core_to_others() -> None:
    assert threading.active_count() >= 1
    assert neighbours_per_core() >= 0.0
