"""Steps that fail, hang, print, are killed, and a session that is: what is left can be read, and the rest runs."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import sleep
from typing import Any

import pytest

from tests.gpu.session.__main__ import run
from tests.gpu.session.page import Status
from tests.gpu.session.steps import Step, limit_s, run_steps
from tests.gpu.session.summary import Summary, failure_line, faults_of_check
from tests.processes import is_running
from vigbench.records.metrics import Metrics
from vigbench.records.schema import Record
from vigbench.records.store import RunStore
from vigbench.suites.case import Case

ROOT = Path(__file__).parents[3]
MACHINE = {"device": "a GPU", "driver": "1", "torch": "2", "triton": "3", "python": "3.12", "commit": "abc"}
HANGS = "import pathlib, time\npathlib.Path({!r}).touch()\nwhile True: time.sleep(9)"


def fake(name: str, code: str, share: float = 1.0, **more: Any) -> Step:
    return Step(name, "fakes", share, lambda limit_s: [sys.executable, "-c", code], **more)


def statuses(folder: Path) -> dict[str, str]:
    return {name: one["status"] for name, one in json.loads((folder / "summary.json").read_text())["steps"].items()}


def clock_after(file: Path) -> Callable[[], float]:
    """A clock that stands still until there is `file`; then 10 s have gone by, once."""
    return lambda: 10.0 if file.exists() else 0.0


def test_the_budget_is_cut_by_shares_and_unused_time_passes_on() -> None:
    steps = [fake("a", "", 3), fake("b", "", 1), fake("c", "", 1)]
    assert limit_s(50, steps) == 30
    assert limit_s(40, steps[1:]) == 20  # 10 of the 30 were used
    assert limit_s(39, steps[2:]) == 39


def test_a_step_learns_its_limit(tmp_path: Path) -> None:
    seen = []

    def command(limit_s: float) -> list[str]:
        seen.append(limit_s)
        return [sys.executable, "-c", ""]

    run_steps([Step("a", "x", 1, command), Step("b", "x", 3, command)], Summary(tmp_path, MACHINE), 40, lambda: 0.0)
    assert seen == [10, 40]


def test_a_failing_step_and_a_crash_do_not_keep_the_others_from_running(tmp_path: Path) -> None:
    crash = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    summary = Summary(tmp_path, MACHINE)
    steps = [fake("fails", "raise SystemExit('it is wrong')"), fake("crashes", crash), fake("passes", "print(1)")]
    assert run(steps, summary, 600) == 1
    assert statuses(tmp_path) == {"fails": "failed", "crashes": "failed", "passes": "passed"}
    assert summary.rows["fails"].said == ["it is wrong"]
    assert summary.rows["crashes"].said == ["ended by SIGKILL"]
    assert [one["id"] for one in summary.failures("fails")] == ["fails"]
    page = (tmp_path / "summary.md").read_text()
    assert "| fails | failed |" in page
    assert "it is wrong" in page


def test_all_passed_is_exit_code_0(tmp_path: Path) -> None:
    assert run([fake("a", ""), fake("b", "")], Summary(tmp_path, MACHINE), 600) == 0


def test_what_hangs_is_ended_with_all_that_it_started_and_the_next_step_runs(tmp_path: Path) -> None:
    begun, child = tmp_path / "begun", tmp_path / "child"
    hangs = (
        "import pathlib, signal, subprocess, sys\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "one = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(9999)'], start_new_session=True)\n"
        f"pathlib.Path({str(child)!r}).write_text(str(one.pid))\n"
        f"pathlib.Path({str(begun)!r}).touch()\n"
        "print('before', flush=True)\n"
        "one.wait()"
    )
    steps = [fake("hangs", hangs), fake("next", "print('next')", 100.0)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.gpu.session.steps.GRACE_S", {"timeout": 0.1, "interrupted": 0.1})
        assert run_steps(steps, Summary(tmp_path, MACHINE), 500, clock_after(begun))
    assert statuses(tmp_path) == {"hangs": "timeout", "next": "passed"}
    assert not is_running(int(child.read_text()))


def test_a_step_that_may_be_stopped_is_no_failure_at_its_limit(tmp_path: Path) -> None:
    begun, summary = tmp_path / "begun", Summary(tmp_path, MACHINE)
    assert run_steps([fake("tunes", HANGS.format(str(begun)), open_ended=True)], summary, 5, clock_after(begun))
    assert summary.rows["tunes"].status is Status.stopped
    assert not summary.failures("tunes")


def test_a_step_without_time_is_not_run(tmp_path: Path) -> None:
    begun, summary = tmp_path / "begun", Summary(tmp_path, MACHINE)
    steps = [fake("all of it", HANGS.format(str(begun))), fake("late", "print('late')")]
    run_steps(steps, summary, 8, clock_after(begun))
    assert statuses(tmp_path) == {"all of it": "timeout", "late": "not run"}
    assert not summary.log("late").exists()


def test_what_a_step_prints_is_in_its_files(tmp_path: Path) -> None:
    summary = Summary(tmp_path, MACHINE)
    code = "import sys; print('{}'); print('progress', file=sys.stderr)"
    check = fake("check", code, stdout="check.json", faults=lambda file: [failure_line("a", file.read_text())])
    run_steps([check, fake("both", code)], summary, 600)
    assert summary.failures("check") == [{"id": "a", "error": "{}\n"}]
    assert not summary.failures("both")
    assert (tmp_path / "check.json").read_text() == "{}\n"
    assert summary.log("check").read_text() == "progress\n"
    assert sorted(summary.log("both").read_text().split()) == ["progress", "{}"]


def test_a_step_that_ended_before_its_result_leaves_no_empty_file(tmp_path: Path) -> None:
    summary = Summary(tmp_path, MACHINE)
    run_steps([fake("check", "raise SystemExit('cut')", stdout="check.json", faults=faults_of_check)], summary, 600)
    assert not (tmp_path / "check.json").exists()
    assert [one["error"] for one in summary.failures("check")] == ["failed: cut"]


def test_cases_of_a_run_that_ended_in_a_fault_are_failures_of_its_step(tmp_path: Path) -> None:
    run_of_a_fault(tmp_path / "made before")
    summary = Summary(tmp_path / "session", MACHINE)
    move = f"import os; os.rename({str(tmp_path / 'made before')!r}, {str(summary.folder / 'runs' / 'smoke-cuda-1')!r})"
    run_steps([fake("smoke", move), fake("other", "")], summary, 600)
    (failure,) = summary.failures("smoke")
    assert failure["id"].startswith("resnet50")
    assert failure["error"] == "wrong_result: off by 3"
    assert not summary.failures("other")


def run_of_a_fault(folder: Path) -> None:
    store = RunStore.create(folder, {"suite": "smoke"})
    for resolution, status in ((64, "ok"), (128, "wrong_result")):
        case = Case(subject="resnet50", resolution=resolution)
        reason = "off by 3" if status != "ok" else ""
        given = {"case": case, "family": "cnn", "status": status, "reason": reason}
        started = "2026-01-01T00:00:00+00:00"
        store.append(Record(case_id=case.case_id, started_at=started, metrics=Metrics(), **given), ())


SESSION = """
import sys
from pathlib import Path
from tests.gpu.session.__main__ import run
from tests.gpu.session.steps import Step
from tests.gpu.session.summary import Summary
step = lambda name, code: Step(name, "fakes", 1.0, lambda limit_s: [sys.executable, "-c", code])
hangs = "import os, time; print(os.getpid(), flush=True); time.sleep(9999)"
steps = [step("first", "print('done')"), step("hangs", hangs), step("never", "print('never')")]
sys.exit(run(steps, Summary(Path({folder!r}), {machine!r}), 9999))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_session_that_is_cut_off_leaves_a_summary_of_what_was_done(number: signal.Signals, tmp_path: Path) -> None:
    code, log = SESSION.format(folder=str(tmp_path), machine=MACHINE), tmp_path / "logs" / "hangs.log"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    session = subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.DEVNULL)
    while not (log.exists() and log.read_text().endswith("\n")):  # what a step prints is there at once
        assert session.poll() is None
        sleep(0.05)
    pid = int(log.read_text())
    session.send_signal(number)
    session.wait()
    found = statuses(tmp_path)
    page = (tmp_path / "summary.md").read_text()
    if number is signal.SIGKILL:
        os.kill(pid, signal.SIGKILL)  # nobody was left to do it
        assert session.returncode == -number
        assert found == {"first": "passed", "hangs": "running", "never": "waiting"}
        assert "it was killed in this step" in page
    else:
        assert session.returncode == 130
        assert found == {"first": "passed", "hangs": "interrupted", "never": "waiting"}
        assert not is_running(pid)
    assert (tmp_path / "logs" / "first.log").read_text() == "done\n"
