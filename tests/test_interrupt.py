import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from vigbench.interrupt import NOTICE, StopRequest

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    former = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    after = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in former.items():
        signal.signal(number, handler)
    assert after == former, "the former handlers are back"


@pytest.mark.parametrize("first", SIGNALS)
@pytest.mark.parametrize("second", SIGNALS)
def test_the_first_signal_asks_and_the_second_stops(first: signal.Signals, second: signal.Signals) -> None:
    asked = []
    with StopRequest(lambda: asked.append(True)) as stop:
        assert not stop.requested
        os.kill(os.getpid(), first)
        assert stop.requested
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), second)
    assert asked == [True], "told once"
    assert stop.requested


def test_without_a_signal_nothing_is_requested() -> None:
    with StopRequest() as stop:
        pass
    assert not stop.requested


def test_the_notice_is_one_line_on_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGINT)
    assert stop.requested
    assert capfd.readouterr().err == NOTICE + "\n"
    assert "press Ctrl-C again to stop now" in NOTICE


def test_handlers_come_back_after_an_error_too() -> None:
    def handler(number: int, frame: object) -> None:
        raise AssertionError

    original = signal.signal(signal.SIGTERM, handler)
    try:
        stop = StopRequest()
        with pytest.raises(RuntimeError), stop:
            raise RuntimeError
        assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, original)


def test_an_ignored_signal_stays_ignored() -> None:
    original = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with StopRequest() as stop:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
        assert not stop.requested
    finally:
        signal.signal(signal.SIGINT, original)


def test_in_another_thread_it_does_nothing() -> None:
    results: list[object] = []

    def work() -> None:
        with StopRequest() as stop:
            results.append(signal.getsignal(signal.SIGINT))
            results.append(stop.requested)

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert results == [before, False]


CASES = """
import sys, time
from vigbench.interrupt import StopRequest
with StopRequest() as stop:
    for case in range(1000):
        print("case", case, flush=True)
        line = sys.stdin.readline()  # the case: it goes on for as long as the test wants
        print("end", case, flush=True)
        if stop.requested:
            break
print("after", flush=True)
time.sleep(60)
"""


def start() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CASES],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def test_a_process_finishes_its_case_then_stops_and_afterwards_ends_as_usual() -> None:
    process = start()
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == "case 0\n"
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline() == NOTICE + "\n"
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == "end 0\n"
    assert process.stdout.readline() == "after\n"
    process.send_signal(signal.SIGTERM)  # outside: as it was before
    process.communicate()
    assert process.returncode == -signal.SIGTERM


def test_a_second_signal_ends_a_process_in_the_middle_of_its_case() -> None:
    process = start()
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == "case 0\n"
    process.send_signal(signal.SIGTERM)
    assert process.stderr.readline() == NOTICE + "\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert out == ""
    assert "KeyboardInterrupt" in err
    assert process.returncode == -signal.SIGINT
