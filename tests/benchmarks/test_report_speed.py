"""A report of 10,000 records: how long it takes to write, to open and to use. The fastest of several tries."""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path
from types import ModuleType

from vigbench.report import write_page

WRITE_S = 10.0


def synthetic() -> ModuleType:
    """The records that the tests of the report use."""
    path = Path(__file__).parents[1] / "report" / "conftest.py"
    spec = importlib.util.spec_from_file_location("records_of_tests", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_ten_thousand_records_are_written_in_ten_seconds(tmp_path: Path) -> None:
    records = synthetic()
    frame = records.frame(records.many(10_000))
    durations = []
    for _ in range(3):
        begin = time.perf_counter()
        path = write_page(frame, {"run": "many", "device_name": "Demo CPU"}, tmp_path)
        durations.append(time.perf_counter() - begin)
    print(f"fastest of {len(durations)}: {min(durations):.1f} s, {path.stat().st_size / 1e6:.1f} MB")
    assert min(durations) <= WRITE_S
