"""An evaluation's model computes in a worker: whatever it prints and however it ends, who asked gets a clear answer."""

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import psutil
import pytest

import vigbench
from tests.commands import outcome
from tests.evaluation.pictures import MODEL
from tests.processes import is_running
from vigbench.evaluation.progress import EvaluationProgress
from vigbench.interrupt import StopRequest
from vigbench.records.accuracy import AccuracyRow, read_accuracy, read_predictions

Nets = Callable[[str], Path]
GIVEN: dict[str, Any] = {"resolutions": [32], "device": "cpu", "threads": 1, "batch_size": 5}  # 18 images: 5, 5, 5, 3


def test_one_call_evaluates_and_another_continues_what_was_stopped(
    data: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stop = StopRequest(lambda: None)
    stop.requested = True
    given = {**GIVEN, "resolutions": [160]}
    stopped = vigbench.evaluate(MODEL, checkpoint, data, **given, out=tmp_path, stop=stop)
    assert not stopped.finished
    assert stopped.rows == ()
    found = vigbench.evaluate(MODEL, str(checkpoint), str(data), **given, resume=stopped.folder)
    assert found.folder == stopped.folder
    assert found.finished
    assert [row.resolution for row in found.rows] == [160]
    assert capsys.readouterr() == ("", "")


class StopsWhenAllIsDone(EvaluationProgress):
    def __init__(self, stop: StopRequest) -> None:
        self.stop = stop

    def resolution_ended(self, row: AccuracyRow) -> None:
        sleep(2)  # until the worker is gone, too
        self.stop.requested = True


def test_a_stop_that_comes_when_all_is_done_harms_nothing(data: Path, checkpoint: Path, tmp_path: Path) -> None:
    stop = StopRequest(lambda: None)
    given = {**GIVEN, "resolutions": [160]}
    found = vigbench.evaluate(
        MODEL, checkpoint, data, **given, out=tmp_path, stop=stop, progress=StopsWhenAllIsDone(stop)
    )
    assert found.finished


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"precision": "fp8"}, "choose from float32"),
        ({"resolutions": []}, "at least one"),
        ({"resolutions": [0]}, "0 is no side"),
        ({"batch_size": 0}, "starts at 1"),
        ({"batch_timeout_s": 0.0}, "--batch-timeout"),
        ({"device": "tpu"}, "cuda"),
    ],
)
def test_what_cannot_be_evaluated_is_said(
    data: Path, checkpoint: Path, tmp_path: Path, wrong: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as refused:
        vigbench.evaluate(MODEL, checkpoint, data, **{**GIVEN, "out": tmp_path / "out", **wrong})
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_what_a_model_prints_is_no_result(
    nets: Nets, data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    weights = nets("make_noisy")
    capfd.readouterr()
    found = vigbench.evaluate("evaluated_nets:make_noisy", weights, data, **GIVEN, out=tmp_path / "results")
    assert found.finished
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("factory", "expected"),
    [
        ("make_hanging", r"was stopped: one batch took more than 12 s\. Raise --batch-timeout, or"),
        ("make_dying", r"The worker was killed by SIGSEGV\. Its last words: .*good bye\. What"),
    ],
)
def test_a_model_that_hangs_or_dies_is_one_line_and_what_was_computed_is_kept(
    nets: Nets, data: Path, tmp_path: Path, factory: str, expected: str
) -> None:
    with pytest.raises(ValueError, match=expected) as ended:
        vigbench.evaluate(
            f"evaluated_nets:{factory}", nets(factory), data, **GIVEN, batch_timeout_s=12.0, out=tmp_path / "results"
        )
    (folder,) = (tmp_path / "results").iterdir()
    assert str(ended.value).endswith(f"What was computed is kept; continue with --resume {folder}.")
    assert "\n" not in str(ended.value)
    assert len(read_predictions(folder, 32)) == 15
    nets("make_net")
    again = vigbench.evaluate(
        "evaluated_nets:make_net", tmp_path / "make_net.pt", data, **GIVEN, out=tmp_path / "others"
    )
    assert again.finished
    assert not read_accuracy(folder).finished


def test_a_second_ctrl_c_ends_all_processes_at_once(nets: Nets, data: Path, tmp_path: Path) -> None:
    nets("make_hanging")
    before = running_workers()

    def computed() -> int:
        return sum(len(read_predictions(folder, 32)) for folder in tmp_path.glob("results/*"))

    def press() -> None:
        end = monotonic() + 60
        while monotonic() < end and computed() < 15:  # the next batch hangs
            sleep(0.05)
        for _ in range(2):
            if ended.wait(1.0):  # nobody is left to be interrupted but the tests themselves
                return
            os.kill(os.getpid(), signal.SIGINT)

    ended = threading.Event()
    presses = threading.Thread(target=press)
    presses.start()
    began = monotonic()
    code, said, errors = outcome(
        *("evaluate", "--subject", "evaluated_nets:make_hanging", "--checkpoint", "make_hanging.pt", "--data", "data"),
        *("--resolution", "32", "--batch-size", "5", "--device", "cpu", "--threads", "1", "--workers", "2"),
    )
    ended.set()
    presses.join()
    assert (code, said.splitlines()) == (130, [f"32 px: {done} of 18 images" for done in (5, 10, 15)])
    assert "Continue with: " in errors
    assert monotonic() - began < 60
    assert running_workers() <= before


def running_workers() -> set[int]:
    """What the fork servers, which are these tests' children, have started; the servers live on for the next run."""
    every, children = psutil.Process().children(recursive=True), psutil.Process().children()
    return {worker.pid for worker in every if worker not in children and is_running(worker.pid)}
