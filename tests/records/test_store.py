import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from vigbench.records.schema import Record, columns
from vigbench.records.store import RunStore

MakeRecord = Callable[..., Record]


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore.create(tmp_path / "run", {"suite": "smoke"})


def test_what_was_appended_is_there_for_whoever_opens_the_folder(store: RunStore, make_record: MakeRecord) -> None:
    records = [make_record(64), make_record(128, status="out_of_memory", reason="no memory", marks=("contended",))]
    for record in records:
        store.append(record, {"latency_ms": [1.0, 2.5]})
    again = RunStore.open(store.folder)
    assert again.records() == records
    frame = pd.read_csv(store.folder / "records.csv")
    assert list(frame.columns) == list(columns())
    assert list(frame["status"]) == ["ok", "out_of_memory"]
    samples = pd.read_csv(store.folder / "samples" / f"{records[0].case_id}.csv")
    assert list(samples["value"]) == [1.0, 2.5]


@pytest.mark.parametrize("cut", [1, 10, 200])
def test_a_torn_last_line_costs_only_its_own_case(store: RunStore, make_record: MakeRecord, cut: int) -> None:
    first, second = make_record(64), make_record(128)
    store.append(first, {})
    store.append(second, {})
    content = store.journal.read_bytes()
    store.journal.write_bytes(content[:-cut])
    assert store.records() == [first]
    store.drop_torn_line()
    store.append(second, {})
    assert store.records() == [first, second]


def test_a_later_record_of_the_same_case_wins(store: RunStore, make_record: MakeRecord) -> None:
    store.append(make_record(64, status="pruned"), {})
    store.append(make_record(64), {})
    assert [record.status for record in store.records()] == ["ok"]


def test_a_damaged_line_in_the_middle_is_an_error_and_not_a_lost_case(store: RunStore, make_record: MakeRecord) -> None:
    store.append(make_record(64), {})
    with store.journal.open("a") as file:
        file.write("{}\n")
    with pytest.raises(ValueError, match="line 2"):
        store.records()


def test_an_existing_folder_is_never_overwritten(store: RunStore) -> None:
    with pytest.raises(ValueError, match="--resume"):
        RunStore.create(store.folder, {})


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
    store.append(Record(case_id=case.case_id, case=case, family="cnn", status="ok", started_at="now"), {"x": [1.0]})
    print(resolution, flush=True)
"""


def test_sigkill_at_any_point_loses_nothing_that_was_reported(store: RunStore) -> None:
    for delay in (0.0, 0.013, 0.031):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(store.folder)], stdout=subprocess.PIPE, text=True, env={**os.environ}
        )
        assert writer.stdout is not None
        assert writer.stdout.readline() == "1\n"
        time.sleep(delay)
        writer.send_signal(signal.SIGKILL)
        reported = [1, *map(int, writer.stdout.read().split())]
        writer.wait()
        store.drop_torn_line()
        kept = {record.case.resolution for record in store.records()}
        assert set(reported) <= kept
        pd.read_csv(store.folder / "records.csv")
        writer.stdout.close()
