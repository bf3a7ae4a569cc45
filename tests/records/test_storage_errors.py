"""Full and read-only disks, for real: a limit on file sizes, a tiny file system, one mounted read-only."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from vigbench.records.files import StorageError
from vigbench.records.schema import Record
from vigbench.records.store import RunStore

MakeRecord = Callable[..., Record]
SAMPLES = [{"latency_ms": [1.0, 2.0]}, {"latency_ms": [3.0]}]


def fill(disk: Path, leave: int = 0) -> Path:
    """Use up the disk's space but `leave` bytes, with a file that can be removed again."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            file.truncate(max(0, file.tell() - leave))
    return ballast


def resolutions(store: RunStore) -> list[int]:
    return [record.case.resolution for record in store.records()]


def test_a_full_disk_loses_no_record_and_the_run_goes_on(
    small_disk: Path, rescue_folder: Path, make_record: MakeRecord
) -> None:
    store = RunStore.create(small_disk / "run", {"suite": "smoke"})
    store.append(make_record(64), SAMPLES)
    ballast = fill(small_disk)
    record = make_record(128, reason="x" * 5000)
    with pytest.raises(StorageError) as caught:
        store.append(record, SAMPLES, {"aten::mm": 2}, {"gemm, <1>": 1})
    (rescued,) = rescue_folder.iterdir()
    message = str(caught.value)
    assert "No space left on device" in message
    assert str(store.folder) in message
    assert f"vigbench run --resume {store.folder}" in message
    assert str(rescued) in message
    assert rescued.stat().st_mode & 0o777 == 0o600
    assert resolutions(RunStore.open(store.folder)) == [64]
    assert [path.name for path in store.folder.rglob(".*")] == [], "a file half written gives its space back"

    ballast.unlink()
    again = RunStore.open(store.folder)
    assert again.prepare()[-1] == record
    assert again.samples(record.case_id) == {"latency_ms": [[1.0, 2.0], [3.0]]}
    assert again.operators(record.case_id) == {("operator", "aten::mm"): 2, ("kernel", "gemm, <1>"): 1}
    assert list(pd.read_csv(again.csv_file)["resolution"]) == [64, 128]
    assert list(rescue_folder.iterdir()) == []


@pytest.mark.parametrize("leave", [0, 4096, 8192, 12288, 16384, 24576])
def test_wherever_the_disk_ends_every_record_is_in_the_journal_or_saved(
    small_disk: Path, rescue_folder: Path, make_record: MakeRecord, leave: int
) -> None:
    store = RunStore.create(small_disk / "run", {"suite": "smoke"})
    store.append(make_record(1), SAMPLES)
    ballast = fill(small_disk, leave)
    resolution = 1
    failed = False
    while not failed:
        resolution += 1
        try:
            # without samples, so that the journal and the CSV file meet the end of the disk
            store.append(make_record(resolution, reason="x" * 1000), [])
        except StorageError:
            failed = True
    assert store.journal.read_bytes().endswith(b"\n"), "what was written of a line is cut off"
    ballast.unlink()
    store.append(make_record(200), [])
    assert sorted(resolutions_after(store)) == [*range(1, resolution + 1), 200]
    assert sorted(pd.read_csv(store.csv_file)["resolution"]) == [*range(1, resolution + 1), 200]


def resolutions_after(store: RunStore) -> list[int]:
    return [record.case.resolution for record in RunStore.open(store.folder).prepare()]


def test_a_read_only_disk_is_explained_and_left_as_it_is(
    small_disk: Path, rescue_folder: Path, make_record: MakeRecord
) -> None:
    store = RunStore.create(small_disk / "run", {"suite": "smoke"})
    store.append(make_record(64), SAMPLES)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for act in (
        lambda: store.append(make_record(128), SAMPLES),
        lambda: RunStore.open(store.folder).append(make_record(256), []),
        lambda: store.discard("case", SAMPLES, 1),
        lambda: store.write_info({}),
        lambda: RunStore.open(store.folder).prepare(),
        lambda: store.lock().__enter__(),
    ):
        with pytest.raises(StorageError, match=r"Read-only file system\. Make it writable, then continue with"):
            act()
    assert resolutions(store) == [64]
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    assert resolutions_after(store) == [64, 128, 256]
    assert list(rescue_folder.iterdir()) == []


LIMITED = """
import os, resource, signal, sys
from pathlib import Path
from vigbench.records.schema import Record
from vigbench.records.store import RunStore
from vigbench.suites.case import Case

def append(resolution):
    case = Case(subject="resnet50", resolution=resolution)
    store.append(Record(case_id=case.case_id, case=case, family="cnn", status="ok", started_at="now"), [{"x": [1.0]}])

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write beyond the limit fails instead of killing
store = RunStore.open(Path(sys.argv[1]))
append(1)
if sys.argv[2] == "records.csv":
    os.truncate(store.csv_file, 19_990)  # so that this file meets the limit first
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
try:
    for resolution in range(2, 100):
        append(resolution)
except ValueError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
append(1000)
print(resolution)
"""


def run_limited(store: RunStore, meets_limit: str) -> tuple[list[str], int]:
    """Append until that file is too large, then one more without a limit; the message, and the record that failed."""
    if sys.platform == "win32":
        pytest.skip("Windows has no limit on file sizes")
    command = [sys.executable, "-c", LIMITED, str(store.folder), meets_limit]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    *message, failed = result.stdout.splitlines()
    assert message[0].startswith(f"Cannot write {store.folder / meets_limit}: File too large. Free space there")
    return message, int(failed)


def test_a_line_that_ends_at_a_limit_is_cut_off_and_saved(store: RunStore, rescue_folder: Path) -> None:
    message, failed = run_limited(store, "journal.jsonl")
    (rescued,) = rescue_folder.iterdir()
    assert str(rescued) in message[1]
    assert resolutions(store) == [*range(1, failed), 1000], "the next line is one of its own"
    assert resolutions_after(store) == [*range(1, failed), 1000, failed]
    assert list(pd.read_csv(store.csv_file)["resolution"]) == [*range(1, failed), 1000, failed]


def test_a_record_that_only_the_csv_file_cannot_take_is_in_the_journal(store: RunStore, rescue_folder: Path) -> None:
    message, failed = run_limited(store, "records.csv")
    assert message[1] == "The record is safe in journal.jsonl."
    assert failed == 2
    assert list(rescue_folder.iterdir()) == []
    assert resolutions(store) == list(pd.read_csv(store.csv_file)["resolution"]) == [1, 2, 1000]


def test_where_nothing_can_be_saved_the_message_holds_the_line(
    small_disk: Path, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = RunStore.create(small_disk / "run", {"suite": "smoke"})
    monkeypatch.setattr(tempfile, "tempdir", str(small_disk))
    ballast = fill(small_disk)
    record = make_record(64)
    with pytest.raises(StorageError, match=r"Nor could the record be saved elsewhere \(.*No space left") as caught:
        store.append(record, SAMPLES)
    line = str(caught.value).splitlines()[-1]
    ballast.unlink()
    with store.journal.open("a") as file:  # what the message tells a person to do
        file.write(line + "\n")
    assert RunStore.open(store.folder).prepare() == [record]


def test_a_record_comes_back_once_and_only_to_its_own_run(
    small_disk: Path, rescue_folder: Path, make_record: MakeRecord, tmp_path: Path
) -> None:
    store = RunStore.create(small_disk / "run", {"suite": "smoke"})
    other = RunStore.create(tmp_path / "elsewhere" / "run", {"suite": "smoke"})
    store.append(make_record(128, status="pruned"), [])
    ballast = fill(small_disk)
    for record in (make_record(64, status="pruned"), make_record(128)):
        with pytest.raises(StorageError):
            store.append(record, SAMPLES)
    (rescued,) = rescue_folder.iterdir()
    with pytest.raises(StorageError, match=str(rescued)):
        RunStore.open(store.folder).adopt_rescued()
    assert rescued.is_file(), "what could not come back stays saved"
    ballast.unlink()
    assert other.prepare() == []
    # on a full disk, people move the run to another
    moved = RunStore(Path(shutil.move(store.folder, tmp_path / "moved")))
    moved.append(make_record(64), [])
    kept = rescued.read_bytes()
    assert moved.adopt_rescued() == 1
    kept_now = {record.case.resolution: record.status for record in moved.records()}
    assert kept_now == {64: "ok", 128: "ok"}, "what was measured counts more than what was pruned"
    rescued.write_bytes(kept)  # as if it could not be removed
    assert moved.adopt_rescued() == 0
    assert sorted(resolutions(moved)) == [64, 128]


def test_a_rescued_record_takes_the_place_of_an_earlier_one(
    small_disk: Path, rescue_folder: Path, make_record: MakeRecord
) -> None:
    store = RunStore.create(small_disk / "run", {"suite": "smoke"})
    first = make_record(64, status="timeout").model_copy(update={"started_at": "2026-11-20T00:00:00+00:00"})
    store.append(first, [])
    ballast = fill(small_disk)
    second = make_record(64).model_copy(update={"started_at": "2026-11-21T00:00:00+00:00"})
    with pytest.raises(StorageError, match="brings it back"):
        store.append(second, SAMPLES)
    ballast.unlink()
    assert RunStore.open(store.folder).prepare() == [second]
    assert store.samples(second.case_id)
    assert not list(rescue_folder.iterdir())


def test_a_damaged_rescue_file_is_named(store: RunStore, rescue_folder: Path) -> None:
    file = rescue_folder / f"vigbench-rescue-{store.info()['id']}.jsonl"
    file.write_text("torn")
    assert store.prepare() == []
    file.write_text("{}\n")
    with pytest.raises(ValueError, match=r"vigbench-rescue-.*Move it away"):
        store.prepare()
