from collections.abc import Callable
from pathlib import Path

import pytest

import vigbench
from vigbench.records.schema import Record, columns
from vigbench.records.store import RunStore

INFO = {"suite": "smoke", "protocol": 1, "device_name": "a CPU", "environment": {"torch": "2.11"}}


@pytest.fixture
def runs(tmp_path: Path, make_record: Callable[..., Record]) -> Path:
    for name, resolutions in {"a": [64, 128], "b[1]": [64], "empty": []}.items():
        store = RunStore.create(tmp_path / name, INFO)
        for resolution in resolutions:
            store.append(make_record(resolution), {})
    (tmp_path / "not-a-run").mkdir()
    (tmp_path / "README.md").write_text("no run either")
    return tmp_path


def test_many_runs_make_one_tidy_frame(runs: Path) -> None:
    frame = vigbench.load_results(str(runs / "*"))
    assert list(frame.columns) == ["run", "suite", "protocol", "device_name", "torch_version", *columns()]
    assert list(frame["run"]) == ["a", "a", "b[1]"]
    assert list(frame["latency_ms"]) == [6.4, 12.8, 6.4]
    assert frame["throughput_img_per_s"].isna().all(), "what was not measured is missing, not zero"


def test_a_run_is_read_once_however_often_it_is_named(runs: Path) -> None:
    assert len(vigbench.load_results([runs / "a", str(runs / "a*"), runs / "a"])) == 2


def test_a_folder_may_hold_glob_characters(runs: Path) -> None:
    assert list(vigbench.load_results(runs / "b[1]")["run"]) == ["b[1]"]


def test_an_empty_run_is_an_empty_frame_with_all_columns(runs: Path) -> None:
    frame = vigbench.load_results(runs / "empty")
    assert len(frame) == 0
    assert "latency_ms" in frame


def test_nothing_to_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="No run matches"):
        vigbench.load_results(str(tmp_path / "*"))
