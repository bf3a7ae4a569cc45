"""What one append costs, counted by the kernel: bytes and calls, never seconds."""

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from vigbench.records.schema import Record
from vigbench.records.store import RunStore

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="counts by /proc/self/io")

# a record and its row, written to the journal and to the CSV file, and a little for what is read about files
MOST_BYTES = 8192


def counters() -> dict[str, int]:
    """Bytes and calls of this process so far; reading them costs the same each time."""
    content = Path("/proc/self/io").read_text()
    return {name: int(value) for name, value in re.findall(r"^(rchar|wchar|syscr|syscw): (\d+)$", content, re.M)}


def cost_of(action: Callable[[], None]) -> dict[str, int]:
    before = counters()
    between = counters()
    action()
    after = counters()
    return {name: (after[name] - between[name]) - (between[name] - before[name]) for name in after}


def test_an_append_costs_the_same_after_two_thousand_records_as_after_ten(
    store: RunStore, make_record: Callable[..., Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # 2,000 of them take a minute on some disks
    costs = {}
    for number in range(1, 2001):
        # the same number of digits each time, so that the bytes may be compared exactly
        record = make_record(10_000 + number, metrics={"latency_ms": 1.5})
        if number in (10, 2000):
            costs[number] = cost_of(lambda: store.append(record, [{"latency_ms": [1.0, 2.0]}], {"aten::mm": 3}))  # noqa: B023
        else:
            store.append(record, [])
    assert len(store.records()) == 2000
    assert costs[10] == costs[2000]
    assert sum(costs[10].values()) < MOST_BYTES
