import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

import vigbench
from vigbench.records.schema import Metrics, Record, Status
from vigbench.records.store import RunStore
from vigbench.runner.run import choose_device, continue_run, resume_plan, start_run
from vigbench.suites.case import Case
from vigbench.suites.planner import Overrides

SUITE = """
name: tiny
question: Does a run survive?
subjects: [{subjects}]
profiles:
  cpu: {{resolution: [32, 48, 64], threads: 1, budget: 60s, case_timeout: 20s}}
"""


@pytest.fixture
def suite(tmp_path: Path, subjects: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(SUITE.format(subjects="'misbehaving:fine'"))
    return path


def test_a_run_leaves_everything_that_the_design_promises(suite: Path, tmp_path: Path) -> None:
    run = vigbench.run(suite, out=tmp_path / "results", device="cpu")
    assert run.folder.name.startswith("tiny-cpu-")
    info = json.loads((run.folder / "run.json").read_text())
    assert info["finished_at"] is not None
    assert info["planned_cases"] == 3
    assert info["environment"]["torch"]
    frame = pd.read_csv(run.folder / "records.csv")
    assert list(frame["status"]) == ["ok"] * 3
    assert (frame["latency_low_ms"] <= frame["latency_ms"]).all()
    for case_id, count in zip(frame["case_id"], frame["samples"], strict=True):
        samples = pd.read_csv(run.folder / "samples" / f"{case_id}.csv")
        assert (samples["quantity"] == "latency_ms").sum() == count
    assert len(vigbench.load_results(tmp_path / "results" / "*")) == 3


@pytest.mark.slow
def test_a_script_needs_no_main_guard(suite: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    call = f"run = vigbench.run({str(suite)!r}, out={str(tmp_path / 'results')!r}, device='cpu')"
    script.write_text(f"import vigbench\n{call}\nprint([record.status.value for record in run.store.records()])\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, env=environment, check=True)
    assert result.stdout == "['ok', 'ok', 'ok']\n"


@pytest.mark.slow
def test_killed_at_any_point_and_resumed_no_case_is_lost_or_measured_twice(suite: Path, tmp_path: Path) -> None:
    out = tmp_path / "results"
    command = [sys.executable, "-m", "vigbench", "run", "--quiet", "--no-report"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    first = subprocess.Popen(
        [*command, "--suite", str(suite), "--out", str(out)], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert first.stdout is not None
    assert "[1/3]" in first.stdout.readline()
    time.sleep(0.2)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    (folder,) = out.iterdir()
    before = (folder / "journal.jsonl").read_text()
    assert 1 <= before.count("\n") < 3
    done = subprocess.run(
        [*command, "--resume", str(folder)], capture_output=True, text=True, env=environment, check=True
    )
    after = (folder / "journal.jsonl").read_text()
    assert after.startswith(before[: before.rindex("\n") + 1]), "what was measured stays as it was"
    cases = [json.loads(line)["case_id"] for line in after.splitlines()]
    assert len(cases) == len(set(cases)) == 3
    assert done.stdout.count("ms,") == 3 - before.count("\n"), "only the missing cases are measured"
    assert json.loads((folder / "run.json").read_text())["finished_at"]


def test_out_of_memory_and_timeout_prune_larger_cases_of_the_same_series_only(
    tmp_path: Path, subjects: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(SUITE.format(subjects="'misbehaving:hangs', 'misbehaving:fine'"))
    run = vigbench.run(path, out=tmp_path, device="cpu", overrides=Overrides(case_timeout=5.0))
    records = run.store.records()
    status = {(record.case.subject, record.case.resolution): record.status for record in records}
    assert status["misbehaving:hangs", 32] == Status.timeout
    assert status["misbehaving:hangs", 48] == status["misbehaving:hangs", 64] == Status.pruned
    assert all(status["misbehaving:fine", resolution] == Status.ok for resolution in (32, 48, 64))
    assert "32 px at batch 1 took too long" in next(record.reason for record in records if record.status == "pruned")


def test_a_spent_budget_prunes_and_a_resumed_run_measures_the_rest(suite: Path, tmp_path: Path) -> None:
    store, planned = start_run(suite, out=tmp_path, device="cpu", overrides=Overrides(budget=0.5))
    continue_run(store, planned)
    assert {record.status for record in store.records()} == {Status.pruned}
    assert "--resume" in store.records()[0].reason
    again, planned = resume_plan(store.folder, Overrides(budget=60.0))
    continue_run(again, planned)
    assert {record.status for record in again.records()} == {Status.ok}


def test_a_plan_measures_nothing_and_touches_nothing(suite: Path, tmp_path: Path) -> None:
    from vigbench.runner.run import plan_suite

    planned = plan_suite(suite, "cpu")
    assert len(planned.cases) == 3
    assert not (tmp_path / "results").exists()


def test_choose_device_refuses_what_is_not_there() -> None:
    import torch

    with pytest.raises(ValueError, match="choose auto, cpu or cuda"):
        choose_device("tpu")
    if not torch.cuda.is_available():
        assert choose_device("auto") == "cpu"
        with pytest.raises(ValueError, match="no CUDA device"):
            choose_device("cuda")


def test_a_run_of_another_version_is_refused_in_words(tmp_path: Path) -> None:
    store = RunStore.create(tmp_path / "run", {"suite": "x"})
    with pytest.raises(ValueError, match="does not hold the plan"):
        resume_plan(store.folder)
    case = Case(subject="resnet50", resolution=64)
    store.append(
        Record(case_id=case.case_id, case=case, family="cnn", status=Status.ok, started_at="", metrics=Metrics()), {}
    )
    assert len(store.records()) == 1
