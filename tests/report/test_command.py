"""`vigbench report` on folders: one run, several, base and head, and everything that can be asked wrongly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vigbench import write_report
from vigbench.cli.reporting import report
from vigbench.records.store import RunStore

pytestmark = pytest.mark.slow

MakeRun = Any


@pytest.fixture
def make_run(make_sweep: Any, run_info: dict[str, Any], tmp_path: Path) -> MakeRun:
    def make(name: str, folder: str = "results", **changes: Any) -> Path:
        store = RunStore.create(tmp_path / folder / name, {**run_info, "environment": {}, **changes})
        with store.journal.open("w") as file:
            for record in make_sweep((224, 384)):
                file.write(record.model_dump_json() + "\n")
        return store.folder

    return make


def test_one_run_writes_into_its_own_folder(make_run: MakeRun) -> None:
    run = make_run("alone")
    assert write_report(run) == run / "report.html"
    assert (run / "figures" / "latency_ms.pdf").read_bytes().startswith(b"%PDF")


def test_several_runs_write_into_reports(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    report([make_run("a"), make_run("b", device_name="Other CPU")])
    assert capsys.readouterr().out == "reports/a-and-1/report.html\n"
    assert "Other CPU" in Path("reports/a-and-1/report.html").read_text("utf-8")


def test_base_and_head(make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    report([make_run("new")], base=make_run("old"))
    text = Path("reports/new-against-old/report.html").read_text("utf-8")
    assert "new against old: of 14 cases 14 inconclusive" in " ".join(text.split()).replace("</span>", "")


def test_runs_with_one_name_are_told_apart_by_their_paths(make_run: MakeRun, tmp_path: Path) -> None:
    runs = [make_run("same", "x"), make_run("same", "y")]
    report(runs, out=tmp_path / "out")
    text = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert all(str(run) in text for run in runs)


def test_wrong_input_is_said_in_one_sentence(make_run: MakeRun, tmp_path: Path) -> None:
    a, b, other = make_run("a"), make_run("b"), make_run("c", device_name="Other CPU")
    with pytest.raises(ValueError, match="is named twice"):
        report([a, a])
    with pytest.raises(ValueError, match="is named twice"):
        report([a], base=a)
    with pytest.raises(ValueError, match="--base compares one run with another, and 2 were given"):
        report([a, b], base=other)
    with pytest.raises(ValueError, match="--across belongs to --base"):
        report([a], across="device_name")
    with pytest.raises(ValueError, match="is not a run"):
        report([a, tmp_path])
    with pytest.raises(ValueError, match="--across device_name"):
        report([other], base=a)
    report([other], base=a, across="device_name", out=tmp_path / "out")
    assert "Other CPU" in (tmp_path / "out" / "report.html").read_text("utf-8")


def test_duels_decide_claims_only_where_they_are_named(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run("alone")
    duels = str(Path(__file__).parents[2] / "results" / "duel-*")
    without, named = tmp_path / "without", tmp_path / "named"
    report([run], out=without)
    report([run], evidence=[duels], out=named)
    assert "the range of 2 duels" not in (without / "report.html").read_text("utf-8")
    assert "the range of 2 duels" in (named / "report.html").read_text("utf-8")
    with pytest.raises(ValueError, match="names no run, duel or evaluation"):
        report([run], evidence=[str(tmp_path / "nowhere")])
