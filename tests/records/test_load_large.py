import random
import time
from pathlib import Path
from typing import Any, get_args

import pytest

import vigbench
from vigbench.records.schema import Metrics, Record
from vigbench.records.store import RunStore
from vigbench.suites.case import Case

COUNT = 100_000
INFO = {"suite": "smoke", "protocol": 1, "device_name": "a CPU"}


def full_metrics(generator: random.Random) -> dict[str, Any]:
    """Every metric set, with as many digits as real ones have."""
    values = {float: lambda: 1000 * generator.random(), int: lambda: generator.randrange(10**6), str: lambda: "text"}
    return {name: values[get_args(field.annotation)[0]]() for name, field in Metrics.model_fields.items()}


@pytest.mark.slow
def test_a_hundred_thousand_records_load_in_five_seconds(tmp_path: Path) -> None:
    store = RunStore.create(tmp_path / "large", INFO)
    generator = random.Random(0)
    with store.journal.open("w") as file:
        for number in range(COUNT):
            case = Case(subject=f"model_{number % 100}", resolution=16 + number // 100)
            record = Record(
                case_id=case.case_id,
                case=case,
                family="other",
                status="ok",
                started_at="2026-01-01T00:00:00+00:00",
                metrics=Metrics(**full_metrics(generator)),
            )
            file.write(record.model_dump_json() + "\n")
    seconds = []
    for _ in range(2):
        begin = time.perf_counter()
        frame = vigbench.load_results(store.folder)
        seconds.append(time.perf_counter() - begin)
        assert frame["case_id"].nunique() == len(frame) == COUNT
    print(f"{COUNT} records: {min(seconds):.2f} s")
    assert min(seconds) <= 5.0
