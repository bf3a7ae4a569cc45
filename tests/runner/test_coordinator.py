"""The loop over the cases, with results that are made up: what is kept, repeated and tried again."""

import io
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import Progress, TextColumn

from vigbench.cli.progress import RunBar
from vigbench.records.files import StorageError
from vigbench.records.metrics import Metrics
from vigbench.records.schema import Status
from vigbench.records.store import RunStore
from vigbench.runner.max_batch import BatchLimits
from vigbench.runner.repeat import Measured
from vigbench.runner.run import continue_run, resume_plan, start_run
from vigbench.suites.case import Case
from vigbench.suites.planner import Overrides, Plan
from vigbench.worker.messages import Job, Outcome

SUITE = """
name: tiny
question: Is everything kept?
subjects: [resnet18]
profiles:
  cpu: {resolution: [32, 48, 64], threads: 1, budget: 1h, case_timeout: 20s}
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(SUITE)
    return path


def test_a_contended_case_is_measured_again_and_both_attempts_are_kept(
    suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = iter([(0.9, ("contended",)), (0.1, ())])

    def measure(case: Case, planned: object, **options: object) -> Measured:
        load, marks = next(loads)
        metrics = Metrics(latency_ms=100 * load, other_load=load, case_s=1.0)
        return Measured(Status.ok, marks=marks, metrics=metrics, samples=({"latency_ms": (100 * load,)},))

    monkeypatch.setattr("vigbench.runner.coordinator.measure_in_processes", measure)
    store, planned = start_run(suite, out=tmp_path, device="cpu", overrides=Overrides(resolution=[32]))
    continue_run(store, planned)
    (record,) = store.records()
    assert (record.metrics.latency_ms, record.metrics.attempts, record.marks) == (10.0, 2, ())
    assert store.samples(record.case_id, attempt=1) == {"latency_ms": [[90.0]]}


def test_the_stages_of_all_attempts_add_up_to_the_case(
    suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = iter([("contended",), ()])
    reference_s = iter([0.5, 0.0])  # the second finds what the first has kept

    def measure(case: Case, planned: object, **options: object) -> Measured:
        begin = time.monotonic()
        time.sleep(0.02)
        spent = time.monotonic() - begin
        metrics = Metrics(latency_ms=1.0, start_s=spent / 4, timing_s=spent / 2, end_s=spent / 4)
        metrics = metrics.model_copy(update={"reference_s": next(reference_s)})
        return Measured(Status.ok, marks=next(attempts), metrics=metrics, samples=({"latency_ms": (1.0,)},))

    monkeypatch.setattr("vigbench.runner.coordinator.measure_in_processes", measure)
    store, planned = start_run(suite, out=tmp_path, device="cpu", overrides=Overrides(resolution=[32]))
    continue_run(store, planned)
    (metrics,) = (record.metrics for record in store.records())
    assert (metrics.attempts, metrics.reference_s) == (2, 0.5)
    assert metrics.start_s is not None
    assert metrics.timing_s is not None
    assert metrics.end_s is not None
    assert metrics.timing_s == pytest.approx(2 * metrics.start_s), "of both"
    assert metrics.start_s + metrics.timing_s + metrics.end_s == pytest.approx(metrics.case_s)
    assert metrics.end_s >= metrics.start_s, "and what the coordinator itself took"


def test_workers_share_a_folder_for_references_that_is_gone_after_the_run(
    suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders: list[str] = []

    def run(job: Job, **_: object) -> Outcome:
        assert job.references is not None
        assert Path(job.references).is_dir()
        folders.append(job.references)
        return Outcome(status=Status.error, reason="no")

    monkeypatch.setattr("vigbench.runner.coordinator.run_in_worker", run)
    store, planned = start_run(suite, out=tmp_path, device="cpu")
    continue_run(store, planned)
    assert len(folders) == 3
    assert len(set(folders)) == 1
    assert not Path(folders[0]).exists()


def test_a_run_needs_no_place_for_temporary_files(suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object, **__: object) -> None:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr("vigbench.runner.run.TemporaryDirectory", none)
    monkeypatch.setattr("vigbench.runner.coordinator.measure_in_processes", lambda *_, **__: ok_in(5.0))
    store, planned = start_run(suite, out=tmp_path, device="cpu")
    assert continue_run(store, planned)


def ok_in(latency_ms: float) -> Measured:
    metrics = Metrics(latency_ms=latency_ms, other_load=0.0)
    return Measured(Status.ok, metrics=metrics, samples=({"latency_ms": (latency_ms,)},))


def test_a_disk_that_fills_up_at_a_discarded_attempt_costs_only_that(
    suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marked = replace(ok_in(90.0), marks=("contended",))
    monkeypatch.setattr("vigbench.runner.coordinator.measure_in_processes", lambda *_, **__: marked)
    store, planned = start_run(suite, out=tmp_path, device="cpu", overrides=Overrides(resolution=[32]))

    def full(*_: object) -> None:
        raise StorageError(OSError(28, "No space left on device"), store.folder)

    monkeypatch.setattr(RunStore, "discard", full)
    with pytest.raises(StorageError, match="Free space"):
        continue_run(store, planned)
    (record,) = store.records()
    assert record.metrics.attempts == 2
    assert store.samples(record.case_id) == {"latency_ms": [[90.0]]}


def test_a_search_for_the_largest_batch_that_is_stopped_loses_no_timing(
    suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vigbench.runner.coordinator.measure_in_processes", lambda *_, **__: ok_in(5.0))
    store, planned = start_run(suite, out=tmp_path, device="cpu", overrides=Overrides(resolution=[32]))

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("vigbench.runner.max_batch.run_in_worker", stopped)
    with pytest.raises(KeyboardInterrupt):
        continue_run(store, planned, batch_limits=BatchLimits(None, 1200))
    (record,) = store.records()
    assert (record.metrics.latency_ms, record.metrics.largest_batch, record.unit) == (5.0, None, "image")


def test_a_timeout_is_tried_again_only_with_more_time(
    suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def measure(case: Case, planned: Plan, **options: object) -> Measured:
        asked.append(case.resolution)
        time.sleep(0.1)
        return ok_in(5.0) if planned.case_timeout_s > 1 else Measured.failed(Status.timeout, "Stopped.")

    monkeypatch.setattr("vigbench.runner.coordinator.measure_in_processes", measure)
    store, planned = start_run(suite, out=tmp_path, device="cpu", overrides=Overrides(case_timeout=0.1))
    continue_run(store, planned)
    assert asked == [32]
    for limit, statuses in ((0.1, ["timeout", "pruned", "pruned"]), (20.0, ["ok"] * 3)):
        store, planned = resume_plan(store.folder, Overrides(case_timeout=limit))
        continue_run(store, planned)
        assert [record.status.value for record in store.records()] == statuses
    assert asked == [32, 32, 48, 64]


def test_a_case_that_cannot_end_in_time_is_not_tried(
    suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 32, 48, 64 px: 1.2 s a call at 32 px is 2.7 s at 48 px, and 16 calls are more than 20 s
    monkeypatch.setattr("vigbench.runner.coordinator.measure_in_processes", lambda *_, **__: ok_in(1200.0))
    store, planned = start_run(suite, out=tmp_path, device="cpu")
    continue_run(store, planned)
    first, *others = store.records()
    assert first.status == "ok"
    for record in others:
        assert record.status == "pruned"
        assert "judged by its smaller sizes it takes at least" in record.reason
        assert "--case-timeout is 20 s" in record.reason
    store, planned = resume_plan(store.folder, Overrides(case_timeout=1000.0, budget=1000.0))
    continue_run(store, planned)
    assert {record.status.value for record in store.records()} == {"ok"}


def test_a_finished_run_can_be_asked_for_its_largest_batches(
    suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vigbench.runner.coordinator.measure_in_processes", lambda *_, **__: ok_in(5.0))
    store, planned = start_run(suite, out=tmp_path, device="cpu")
    continue_run(store, planned)
    asked: list[int] = []

    def fits(job: Job, **_: object) -> Outcome:
        asked.append(job.case.batch_size)
        return Outcome(status=Status.ok if job.case.batch_size <= 3 else Status.out_of_memory)

    monkeypatch.setattr("vigbench.runner.max_batch.run_in_worker", fits)
    store, planned = resume_plan(store.folder)
    assert continue_run(store, planned, batch_limits=BatchLimits(None, 1200))
    assert [record.metrics.largest_batch for record in store.records()] == [3, 3, 3]
    assert all(store.samples(record.case_id) for record in store.records()), "the raw samples stay"
    before = len(asked)
    assert continue_run(store, planned, batch_limits=BatchLimits(None, 1200))
    assert len(asked) == before, "what is known is not asked again"


def test_that_search_is_shown_on_a_terminal_too(suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vigbench.runner.coordinator.measure_in_processes", lambda *_, **__: ok_in(5.0))
    monkeypatch.setattr("vigbench.runner.max_batch.run_in_worker", lambda *_, **__: Outcome(status=Status.error))
    store, planned = start_run(suite, out=tmp_path, device="cpu")
    continue_run(store, planned)
    console = Console(file=io.StringIO(), force_terminal=True, width=200)
    with Progress(TextColumn("{task.description}"), TextColumn("{task.fields[left]}"), console=console) as bar:
        assert continue_run(store, planned, RunBar(bar), batch_limits=BatchLimits(None, 1200))
        assert "64px" in bar.tasks[0].description
        assert "batch 1?" in bar.tasks[0].description


def test_of_two_attempts_the_clean_one_is_kept() -> None:
    def attempt(contended: bool, **metrics: float) -> Measured:
        marks = ("contended",) if contended else ()
        return replace(ok_in(1.0), marks=marks, metrics=Metrics(latency_ms=1.0, **metrics))

    for worse, better in (
        (attempt(True, rate_drop=0.13), attempt(False, other_load=0.17)),
        (attempt(True, gpu_others=1), attempt(False, rate_drop=0.01)),
        (attempt(True, rate_drop=0.3), attempt(True, other_load=0.4)),
        (Measured.failed(Status.crashed, ""), attempt(True, rate_drop=0.9)),
    ):
        assert better.disturbance() < worse.disturbance()


def test_the_largest_case_of_the_slowest_subject_comes_last_and_is_what_a_spent_budget_drops(
    suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite.write_text(SUITE.replace("[resnet18]", "[resnet34, resnet18, resnet26]"))
    order: list[Case] = []

    def measure(case: Case, planned: object, **options: object) -> Measured:
        order.append(case)
        return ok_in({"resnet34": 3000.0, "resnet18": 10.0, "resnet26": 100.0}[case.subject])

    monkeypatch.setattr("vigbench.runner.coordinator.measure_in_processes", measure)
    overrides = Overrides(resolution=[32, 64], budget=60.0, case_timeout=600.0)
    store, planned = start_run(suite, out=tmp_path, device="cpu", overrides=overrides)
    continue_run(store, planned)
    assert [case.subject for case in order] == ["resnet34", "resnet18", "resnet26", "resnet18", "resnet26"]
    last = store.records()[-1]
    assert (last.case.subject, last.case.resolution, last.status) == ("resnet34", 64, Status.pruned)
    assert "budget of 1 min 00 s is spent; continue with --resume" in last.reason
