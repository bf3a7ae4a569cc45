"""Failures of tests on a GPU are on the disk as they happen, and what breaks a process costs its own test only."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from time import sleep
from typing import Any

import pytest

from tests.gpu.session.failures import Writer

ROOT = Path(__file__).parents[3]

FAULTS = """
import os, signal, sys, types
import pytest

def test_passes():
    pass

def test_fails():
    assert 1 == 2, "one is not two"

def test_crashes():
    os.kill(os.getpid(), signal.SIGSEGV)

def test_breaks_the_device():
    def synchronize():
        raise RuntimeError("an illegal memory access was encountered")
    cuda = types.SimpleNamespace(is_initialized=lambda: True, synchronize=synchronize)
    sys.modules["torch"] = types.SimpleNamespace(cuda=cuda)

@pytest.mark.gpu
@pytest.mark.skipif(True, reason="needs a CUDA device")
def test_has_no_device():
    pass

def test_comes_after_them():
    assert "torch" not in sys.modules or not isinstance(sys.modules["torch"], types.SimpleNamespace)

@pytest.fixture
def missing():
    raise OSError("no such thing")

def test_has_no_fixture(missing):
    pass
"""

WAITS = """
import signal

def test_fails_first():
    assert False

def test_hangs():
    while True:
        signal.pause()
"""


def start(folder: Path, source: str) -> "subprocess.Popen[str]":
    (folder / "test_it.py").write_text(source)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "pytest", "-p", "tests.gpu.session.failures", "--failures", "failures.jsonl"),
            *("-n", "1", "--max-worker-restart", "10", "-p", "no:cacheprovider", "--rootdir", ".", "test_it.py"),
        ],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )


def lines(folder: Path) -> list[dict[str, Any]]:
    file = folder / "failures.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


@pytest.fixture(scope="module")
def failures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("faults")
    out, _ = start(folder, FAULTS).communicate()
    assert "3 passed" in out, out  # also the test that broke the device: what it asserts was right
    return {one["id"].partition("::")[2]: one for one in lines(folder)}


def test_whatever_failed_is_named_and_nothing_else(failures: dict[str, dict[str, Any]]) -> None:
    bad = {"test_fails", "test_crashes", "test_breaks_the_device", "test_has_no_device", "test_has_no_fixture"}
    assert set(failures) == bad


def test_a_failure_has_its_error_its_traceback_and_its_place(failures: dict[str, dict[str, Any]]) -> None:
    one = failures["test_fails"]
    assert one["error"].startswith("AssertionError: one is not two")
    assert "assert 1 == 2" in one["traceback"]
    assert one["when"] == "call"
    assert one["seconds"] >= 0
    assert (failures["test_has_no_fixture"]["when"], failures["test_has_no_fixture"]["error"]) == (
        "setup",
        "OSError: no such thing",
    )


def test_a_process_that_ended_says_so(failures: dict[str, dict[str, Any]]) -> None:
    assert "the process ended in this test" in failures["test_crashes"]["error"]
    assert "the process ended in this test" in failures["test_breaks_the_device"]["error"]


def test_a_test_that_would_be_skipped_for_want_of_a_device_fails(failures: dict[str, dict[str, Any]]) -> None:
    assert "The CUDA device is gone" in failures["test_has_no_device"]["error"]


def test_a_failure_is_there_while_the_tests_go_on(tmp_path: Path) -> None:
    process = start(tmp_path, WAITS)
    while not lines(tmp_path):
        assert process.poll() is None
        sleep(0.05)
    assert [one["id"] for one in lines(tmp_path)] == ["test_it.py::test_fails_first"]
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == pytest.ExitCode.INTERRUPTED


def test_what_was_running_when_the_tests_were_stopped_is_named(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "failures.jsonl")
    for name in ("done", "hangs"):
        writer.pytest_runtest_logstart(name)
    writer.pytest_runtest_logfinish("done")
    writer.pytest_keyboard_interrupt()
    assert [(one["id"], one["error"]) for one in lines(tmp_path)] == [
        ("hangs", "it was running when the tests were stopped")
    ]
