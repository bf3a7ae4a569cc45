import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import pytest

import vigbench
from vigbench.records.schema import Status
from vigbench.records.store import RunStore
from vigbench.runner.coordinator import measure_in_processes
from vigbench.runner.repeat import Measured
from vigbench.runner.run import continue_run, resume_plan, start_run
from vigbench.suites.case import Case
from vigbench.suites.planner import Overrides, Plan

pytestmark = pytest.mark.usefixtures("short_sampling")

SUITE = """
name: tiny
question: Does a run survive?
subjects: [{subjects}]
profiles:
  cpu: {{resolution: [32, 48, 64], threads: 1, budget: 2h, case_timeout: 20m}}
"""


@pytest.fixture
def suite(tmp_path: Path, subjects: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(SUITE.format(subjects="'misbehaving:fine'"))
    return path


@pytest.mark.slow
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
    lines = [json.loads(line) for line in after.splitlines()]
    attempts = {line["case_id"]: line["metrics"]["attempts"] for line in lines}
    assert len(attempts) == 3
    assert len(lines) == sum(attempts.values()), "none twice, but for what other processes disturbed"
    assert done.stdout.count("ms,") == len(lines) - before.count("\n"), "only the missing cases are measured"
    assert json.loads((folder / "run.json").read_text())["finished_at"]


@pytest.mark.slow
def test_out_of_memory_and_timeout_prune_larger_cases_of_the_same_series_only(
    tmp_path: Path, subjects: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(SUITE.format(subjects="'misbehaving:hangs', 'misbehaving:fine'"))

    def measure(case: Case, planned: Plan, **options: Any) -> Measured:  # what hangs would do so for an hour
        limit_s = 4.0 if case.subject == "misbehaving:hangs" else planned.case_timeout_s
        return measure_in_processes(case, replace(planned, case_timeout_s=limit_s), **options)

    monkeypatch.setattr("vigbench.runner.coordinator.measure_in_processes", measure)
    run = vigbench.run(path, out=tmp_path, device="cpu")
    records = run.store.records()
    status = {(record.case.subject, record.case.resolution): record.status for record in records}
    assert status["misbehaving:hangs", 32] == Status.timeout
    assert status["misbehaving:hangs", 48] == status["misbehaving:hangs", 64] == Status.pruned
    assert all(status["misbehaving:fine", resolution] == Status.ok for resolution in (32, 48, 64))
    assert "32 px at batch 1 took too long" in next(record.reason for record in records if record.status == "pruned")


@pytest.mark.slow
def test_a_spent_budget_prunes_and_a_resumed_run_measures_the_rest(suite: Path, tmp_path: Path) -> None:
    store, planned = start_run(suite, out=tmp_path, device="cpu", overrides=Overrides(budget=0.5))
    continue_run(store, planned)
    assert {record.status for record in store.records()} == {Status.pruned}
    assert "--resume" in store.records()[0].reason
    again, planned = resume_plan(store.folder, Overrides(budget=7200.0))
    continue_run(again, planned)
    assert {record.status for record in again.records()} == {Status.ok}


def test_a_plan_measures_nothing_and_touches_nothing(suite: Path, tmp_path: Path) -> None:
    from vigbench.runner.run import plan_suite

    planned = plan_suite(suite, "cpu")
    assert len(planned.cases) == 3
    assert not (tmp_path / "results").exists()


def test_a_run_of_another_version_is_refused_in_words(tmp_path: Path) -> None:
    store = RunStore.create(tmp_path / "run", {"suite": "x"})
    with pytest.raises(ValueError, match="does not hold the plan"):
        resume_plan(store.folder)


def test_what_has_changed_since_is_named_and_stops_a_resume(
    suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _ = start_run(suite, out=tmp_path, device="cpu")
    resume_plan(store.folder)
    environment = {**store.info()["environment"], "torch": "1.0"}
    store.write_info({**store.info(), "environment": environment})
    with pytest.raises(ValueError, match=r"torch: 1\.0 then"):
        resume_plan(store.folder)
    other, _ = start_run(suite, out=tmp_path, device="cpu")
    monkeypatch.setattr("vigbench.worker.describe.code_hash", lambda: "other code")
    with pytest.raises(ValueError, match=r"code: .* then, other code now"):
        resume_plan(other.folder)


def test_the_words_of_an_earlier_version_stop_no_resume(suite: Path, tmp_path: Path) -> None:
    suite.write_text(suite.read_text().replace("[32, 48, 64]", "32, memory_format: channels_last"))
    store, planned = start_run(suite, out=tmp_path, device="cpu")
    info = store.info()
    definition, (case,) = info["suite_definition"], info["cases"]
    definition["profiles"] = definition.pop("devices")
    for one in (definition["profiles"]["cpu"], case):
        one["channels_last"] = [True] if isinstance(one.pop("memory_format"), list) else True
    for subject in definition["subjects"]:
        subject |= {"gla": subject.pop("implementation"), "attention": None, "scan": None, "biwkv": None}
    store.write_info(info)
    assert resume_plan(store.folder)[1] == planned


@pytest.mark.slow
def test_two_runs_of_one_second_get_two_folders_even_if_the_clock_goes_back(
    suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clock(datetime):
        times: ClassVar = [datetime(2026, 1, 1, 12, tzinfo=UTC)] * 20 + [datetime(2025, 1, 1, tzinfo=UTC)] * 100

        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return cls.times.pop(0)

    monkeypatch.setattr("vigbench.runner.run.datetime", Clock)
    monkeypatch.setattr("vigbench.runner.coordinator.datetime", Clock)
    stores = [start_run(suite, out=tmp_path, device="cpu") for _ in range(2)]
    assert len({store.folder for store, _ in stores}) == 2
    Clock.times = Clock.times[-100:]  # a year back, while the run goes on
    store, planned = stores[1]
    assert continue_run(store, planned)
    assert [record.status for record in store.records()] == ["ok"] * 3


@pytest.mark.slow
def test_several_processes_make_one_record_with_all_their_samples(suite: Path, tmp_path: Path) -> None:
    overrides = Overrides(processes=3, resolution=[32], calibrate=True)
    store, planned = start_run(suite, out=tmp_path, device="cpu", overrides=overrides)
    assert continue_run(store, planned)
    (record,) = store.records()
    samples = store.samples(record.case_id)
    assert len(samples["latency_ms"]) == len(samples["calibration_ms"]) == record.metrics.processes == 3
    assert sum(map(len, samples["latency_ms"])) == record.metrics.samples
    assert [len(one) for one in samples["latency_ms"]] == [len(one) for one in samples["calibration_ms"]]
    assert record.metrics.latency_low_ms <= record.metrics.latency_ms <= record.metrics.latency_high_ms  # type: ignore[operator]
    assert store.operators(record.case_id)["operator", "aten::mean"] == 1


INTERRUPTED = """
import sys
sys.argv = ["vigbench", "run", "--suite", {suite!r}, "--out", {out!r}, "--quiet", "--no-report"]
from vigbench.cli import main
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("signals", [1, 2])
def test_ctrl_c_once_finishes_the_case_and_twice_stops_now(subjects: Path, tmp_path: Path, signals: int) -> None:
    suite, out = tmp_path / "slow.yaml", tmp_path / "results"
    suite.write_text(SUITE.format(subjects="'misbehaving:tells_and_sleeps'"))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED.format(suite=str(suite), out=str(out))],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True,
    )  # fmt: skip
    assert process.stderr is not None
    while not (tmp_path / "called-48").exists():  # the second case is running
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to the whole foreground group
    errors = process.stderr.readline()
    assert "Finishing this case, then stopping" in errors
    if signals == 2:
        os.killpg(process.pid, signal.SIGINT)
    errors += process.communicate()[1]
    assert process.returncode == 130
    assert "vigbench run --resume" in errors
    assert "Traceback" not in errors
    (folder,) = out.iterdir()
    assert len(RunStore.open(folder).records()) == (2 if signals == 1 else 1)


def test_a_copy_of_a_shipped_suite_that_kept_its_name_can_be_resumed(tmp_path: Path) -> None:
    text = (Path(vigbench.__file__).parents[1] / "suites" / "smoke.yaml").read_text()
    copy = tmp_path / "mine.yaml"
    copy.write_text(text.replace("budget:", "budget: 61s #", 1))
    assert copy.read_text() != text
    store, planned = start_run(copy, out=tmp_path, device="cpu")
    assert resume_plan(store.folder)[1] == planned
    store, planned = start_run("smoke", out=tmp_path, device="cpu")
    assert store.info()["shipped_suite"]
    assert resume_plan(store.folder)[1] == planned
