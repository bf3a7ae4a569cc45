from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vigbench.records.load import load_results
from vigbench.records.schema import Record
from vigbench.records.store import RunStore

MakeRecord = Callable[..., Record]
COMMITTED = Path(__file__).parents[2] / "results" / "resolution-scaling-cpu-20261121"


def test_every_process_keeps_its_samples_in_the_order_taken(store: RunStore, make_record: MakeRecord) -> None:
    record = make_record(64)
    store.append(record, [{"latency_ms": [3.0, 1.0], "queued_call_ms": [0.5]}, {"latency_ms": [2.0]}])
    found = RunStore.open(store.folder).samples(record.case_id)
    assert found == {"latency_ms": [[3.0, 1.0], [2.0]], "queued_call_ms": [[0.5]]}
    frame = pd.read_csv(store.folder / "samples" / f"{record.case_id}.csv")
    assert list(frame.columns) == ["quantity", "process", "index", "value"]
    assert list(frame[frame["quantity"] == "latency_ms"]["process"]) == [0, 0, 1]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(values=st.lists(st.lists(st.floats(allow_nan=False), min_size=1, max_size=4), min_size=1, max_size=3))
def test_samples_come_back_to_the_last_bit(store: RunStore, values: list[list[float]]) -> None:
    store.discard("case", [{"latency_ms": of_process} for of_process in values], 1)
    assert store.samples("case", attempt=1) == {"latency_ms": values}


def test_a_process_without_a_quantity_has_an_empty_place(store: RunStore, make_record: MakeRecord) -> None:
    record = make_record(64)
    store.append(record, [{}, {"latency_ms": (1, 2)}])
    assert store.samples(record.case_id) == {"latency_ms": [[], [1.0, 2.0]]}


NAMES = [
    "aten::mm",
    'void kernel<float, 4>(char const*, "x")',
    "void at::native::vectorized_elementwise_kernel<4, at::native::CUDAFunctor_add<float>, std::array<char*, 3ul>>",
    "a, b\nc",
]


def test_operators_and_kernels_come_back_whatever_their_names_hold(store: RunStore, make_record: MakeRecord) -> None:
    record = make_record(64)
    store.append(record, [], dict.fromkeys(NAMES, 1), dict.fromkeys(NAMES, 20))
    found = RunStore.open(store.folder).operators(record.case_id)
    assert found == {("operator", name): 1 for name in NAMES} | {("kernel", name): 20 for name in NAMES}
    frame = pd.read_csv(store.folder / "operators" / f"{record.case_id}.csv")
    assert list(frame.columns) == ["kind", "name", "calls"]
    assert list(frame["name"]) == NAMES * 2


def test_what_was_not_recorded_is_empty_and_makes_no_file(store: RunStore, make_record: MakeRecord) -> None:
    record = make_record(64)
    store.append(record, [])
    assert store.samples(record.case_id) == {}
    assert store.operators(record.case_id) == {}
    assert list((store.folder / "samples").iterdir()) == []
    assert not (store.folder / "operators").exists()


def test_a_discarded_attempt_is_kept_beside_the_samples_that_count(store: RunStore, make_record: MakeRecord) -> None:
    record = make_record(64)
    store.discard(record.case_id, [{"latency_ms": [9.0]}], 1)
    store.append(record, [{"latency_ms": [1.0]}])
    assert store.samples(record.case_id) == {"latency_ms": [[1.0]]}
    assert store.samples(record.case_id, attempt=1) == {"latency_ms": [[9.0]]}
    assert (store.folder / "samples" / f"{record.case_id}.attempt1.csv").is_file()


def test_samples_of_an_unfinished_attempt_do_not_stay_with_a_later_record(
    store: RunStore, make_record: MakeRecord
) -> None:
    record = make_record(64, status="error", reason="it failed")
    (store.folder / "samples" / f"{record.case_id}.csv").write_text("quantity,process,index,value\nx,0,0,1.0\n")
    store.append(record, [])
    assert store.samples(record.case_id) == {}


def test_samples_of_the_committed_run_can_be_read(store: RunStore) -> None:
    run = RunStore.open(COMMITTED)
    measured = [record for record in run.records() if record.metrics.samples]
    assert measured
    for record in measured:
        (values,) = run.samples(record.case_id)["latency_ms"]
        assert len(values) == record.metrics.samples
    assert list(load_results(COMMITTED)["case_id"]) == [record.case_id for record in run.records()]


@pytest.mark.parametrize("line", ["latency_ms,0,0", "latency_ms,0,0,fast", "latency_ms,first,0,1.0"])
def test_a_damaged_file_is_named_with_its_line(store: RunStore, line: str) -> None:
    (store.folder / "samples" / "case.csv").write_text(f"quantity,process,index,value\n{line}\n")
    with pytest.raises(ValueError, match=r"case\.csv, line 2"):
        store.samples("case")
