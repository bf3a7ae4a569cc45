import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from vigbench.records.files import StorageError
from vigbench.records.store import RunStore

HOLDER = """
import subprocess, sys
from pathlib import Path
from vigbench.records.store import RunStore
with RunStore.open(Path(sys.argv[1])).lock() as problem:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    print(repr(problem), child.pid, flush=True)
    sys.stdin.readline()
child.kill()
"""

COUNTER = """
import sys, time
from pathlib import Path
from vigbench.records.lock import lock
counter = Path(sys.argv[1])
for _ in range(200):
    while True:
        try:
            with lock(counter.with_name("run.lock")):
                value = int(counter.read_text())
                time.sleep(0)
                counter.write_text(str(value + 1))
            break
        except ValueError:
            time.sleep(0.0001)
"""


def start(script: str, argument: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, str(argument)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def holder_of(store: RunStore) -> tuple[subprocess.Popen[str], int]:
    holder = start(HOLDER, store.folder)
    assert holder.stdout is not None
    problem, child = holder.stdout.readline().split()
    assert problem == "''"
    return holder, int(child)


def test_a_second_process_is_told_who_writes_and_gets_in_afterwards(store: RunStore) -> None:
    holder, _ = holder_of(store)
    with pytest.raises(ValueError, match=rf"process {holder.pid}\) is writing to .*run") as caught, store.lock():
        pass
    assert f"--resume {store.folder}" in str(caught.value)
    holder.communicate("\n")
    assert holder.returncode == 0
    with store.lock() as problem:
        assert problem == ""
        assert (store.folder / "run.lock").read_text() == str(os.getpid())
    assert not (store.folder / "run.lock").exists()


def test_a_killed_process_lets_go_even_while_what_it_started_lives_on(store: RunStore) -> None:
    holder, child = holder_of(store)
    try:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with store.lock() as problem:
            assert problem == ""
    finally:
        os.kill(child, signal.SIGKILL)
        holder.communicate()


def test_one_process_cannot_write_to_a_run_twice_at_once(store: RunStore) -> None:
    with store.lock():
        with pytest.raises(ValueError, match=rf"process {os.getpid()}"), RunStore.open(store.folder).lock():
            pass
        with pytest.raises(ValueError, match="is writing"), store.lock():
            pass


def test_no_two_hold_the_lock_at_once_though_its_file_comes_and_goes(tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    processes = [start(COUNTER, counter) for _ in range(3)]
    for process in processes:
        process.communicate()
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert counter.read_text() == "600"


def open_files() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def test_an_error_inside_lets_go_and_leaves_no_file_open(store: RunStore) -> None:
    before = open_files()
    with pytest.raises(RuntimeError), store.lock():
        raise RuntimeError
    with store.lock(), pytest.raises(ValueError, match="is writing"), store.lock():
        pass
    assert open_files() == before


def test_a_file_system_without_locks_says_so_and_goes_on(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    for _ in range(2):
        with store.lock() as problem:
            assert "no file locks (No locks available)" in problem
            assert "start only one" in problem
    assert not (store.folder / "run.lock").exists()


def test_who_is_refused_leaves_the_holder_s_number(store: RunStore) -> None:
    with store.lock():
        for _ in range(2):
            with pytest.raises(ValueError, match=rf"process {os.getpid()}\)"), store.lock():
                pass


def test_a_lock_file_that_cannot_be_made_is_explained(store: RunStore) -> None:
    (store.folder / "run.lock").mkdir()
    with pytest.raises(StorageError, match=r"run\.lock: Is a directory"), store.lock():
        pass
