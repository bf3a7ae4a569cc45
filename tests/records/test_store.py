import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from math import inf, nan
from pathlib import Path

import pandas as pd
import pytest

from vigbench.records.journal import drop_torn_line
from vigbench.records.metrics import Metrics
from vigbench.records.schema import Record, columns
from vigbench.records.store import RunStore

MakeRecord = Callable[..., Record]


def rewritten(store: RunStore) -> bytes:
    """What `records.csv` is when it is written from the journal alone."""
    store.write_csv(store.records())
    return store.csv_file.read_bytes()


def test_what_was_appended_is_there_for_whoever_opens_the_folder(store: RunStore, make_record: MakeRecord) -> None:
    records = [make_record(64), make_record(128, status="out_of_memory", reason="no memory", marks=("contended",))]
    for record in records:
        store.append(record, [])
    again = RunStore.open(store.folder)
    assert again.records() == records
    frame = pd.read_csv(store.csv_file)
    assert list(frame.columns) == list(columns())
    assert list(frame["status"]) == ["ok", "out_of_memory"]


AWKWARD = [
    {},
    {"status": "error", "reason": 'he said "no", twice\nand\r\nagain\r, with \N{SNOWMAN}'},
    {"status": "error", "reason": "10%\r20%\r30%"},
    {"metrics": Metrics(latency_ms=nan, throughput_per_s=inf, energy_source="a, b")},
    {"marks": ("contended", "not_converged")},
]


def test_rows_appended_one_by_one_make_the_file_that_the_journal_makes(
    store: RunStore, make_record: MakeRecord
) -> None:
    for resolution, changes in enumerate(AWKWARD, 1):
        store.append(make_record(resolution, **changes), [])
    appended = store.csv_file.read_bytes()
    assert appended == rewritten(store)
    assert len(pd.read_csv(store.csv_file)) == len(AWKWARD)


def test_a_case_recorded_again_has_one_row_and_its_later_values(store: RunStore, make_record: MakeRecord) -> None:
    store.append(make_record(64, status="pruned"), [])
    store.append(make_record(128), [])
    for writer in (store, RunStore.open(store.folder)):
        writer.append(make_record(64), [])
        assert [record.status for record in store.records()] == ["ok", "ok"]
        assert list(pd.read_csv(store.csv_file)["resolution"]) == [64, 128]
        assert store.csv_file.read_bytes() == rewritten(store)


@pytest.mark.parametrize("damage", ["torn", "gone", "older"])
def test_whatever_became_of_the_csv_file_an_opened_run_repairs_it(
    store: RunStore, make_record: MakeRecord, damage: str
) -> None:
    for resolution in (64, 128):
        store.append(make_record(resolution), [])
    if damage == "torn":
        os.truncate(store.csv_file, store.csv_file.stat().st_size - 30)
    elif damage == "gone":
        store.csv_file.unlink()
    else:
        store.csv_file.write_text("case_id,status\n")
    again = RunStore.open(store.folder)
    if damage == "torn":
        again.prepare()
        assert len(pd.read_csv(store.csv_file)) == 2
    again.append(make_record(256), [])
    assert list(pd.read_csv(store.csv_file)["resolution"]) == [64, 128, 256]
    assert store.csv_file.read_bytes() == rewritten(store)


def test_a_store_notices_what_another_one_has_written(store: RunStore, make_record: MakeRecord) -> None:
    store.append(make_record(64), [])
    RunStore.open(store.folder).append(make_record(128), [])
    store.append(make_record(128, marks=("contended",)), [])
    assert list(pd.read_csv(store.csv_file)["resolution"]) == [64, 128]


@pytest.mark.parametrize("cut", [1, 10, 200])
def test_a_torn_last_line_costs_only_its_own_case(store: RunStore, make_record: MakeRecord, cut: int) -> None:
    first, second = make_record(64), make_record(128)
    store.append(first, [])
    store.append(second, [])
    os.truncate(store.journal, store.journal.stat().st_size - cut)
    assert store.records() == [first]
    assert RunStore.open(store.folder).prepare() == [first]
    assert len(pd.read_csv(store.csv_file)) == 1
    store.append(second, [])
    assert store.records() == [first, second]


def test_a_torn_line_longer_than_any_block_is_cut_off_too(store: RunStore, make_record: MakeRecord) -> None:
    store.append(make_record(64), [])
    with store.journal.open("a") as file:
        file.write("x" * 200_000)
    store.append(make_record(128), [])
    assert [record.case.resolution for record in store.records()] == [64, 128]
    store.journal.write_text("x" * 200_000)
    drop_torn_line(store.journal)
    assert store.journal.read_bytes() == b""


def test_a_damaged_line_in_the_middle_is_an_error_and_not_a_lost_case(store: RunStore, make_record: MakeRecord) -> None:
    store.append(make_record(64), [])
    with store.journal.open("a") as file:
        file.write("{}\n")
    with pytest.raises(ValueError, match=r"journal\.jsonl, line 2"):
        store.records()


def test_an_existing_folder_is_never_overwritten(store: RunStore, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--resume"):
        RunStore.create(store.folder, {})
    (tmp_path / "mine").mkdir()
    with pytest.raises(ValueError, match="exists already"):
        RunStore.create(tmp_path / "mine", {})
    assert list((tmp_path / "mine").iterdir()) == []


def test_runs_that_want_one_name_get_a_folder_each(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "smoke-3").write_text("a file takes a name too")
    stores = [RunStore.create_unique(tmp_path / "results", "smoke", {"run": "", "suite": "x"}) for _ in range(3)]
    assert [store.folder.name for store in stores] == ["smoke", "smoke-2", "smoke-4"]
    assert [store.info()["run"] for store in stores] == ["smoke", "smoke-2", "smoke-4"]
    assert len({store.info()["id"] for store in stores}) == 3


def test_a_folder_that_cannot_be_made_ends_the_search_for_a_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        RunStore.create_unique(tmp_path / "file", "smoke", {})


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no run\.json"):
        RunStore.open(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(ValueError, match="damaged"):
        RunStore.open(tmp_path)


WRITER = """
import sys
from pathlib import Path
from vigbench.records.schema import Record
from vigbench.records.store import RunStore
from vigbench.suites.case import Case
store = RunStore.open(Path(sys.argv[1]))
for resolution in range(1, 100000):
    case = Case(subject="resnet50", resolution=resolution)
    store.append(Record(case_id=case.case_id, case=case, family="cnn", status="ok", started_at="now"), [{"x": [1.0]}])
    print(resolution, flush=True)
"""


def test_sigkill_at_any_point_loses_nothing_that_was_reported(store: RunStore) -> None:
    for delay in (0.0, 0.013, 0.031):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(store.folder)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert writer.stdout is not None
        assert writer.stdout.readline() == "1\n"
        time.sleep(delay)
        writer.send_signal(signal.SIGKILL)
        reported = [1, *map(int, writer.stdout.read().split())]
        writer.wait()
        kept = {record.case.resolution for record in RunStore.open(store.folder).prepare()}
        assert set(reported) <= kept
        assert set(pd.read_csv(store.csv_file)["resolution"]) == kept
        writer.stdout.close()


def test_samples_of_a_file_that_names_no_processes_are_those_of_one(store: RunStore) -> None:
    (store.folder / "samples" / "old.csv").write_text("quantity,index,value\nlatency_ms,0,1.5\nlatency_ms,1,2.5\n")
    assert store.samples("old") == {"latency_ms": [[1.5, 2.5]]}
