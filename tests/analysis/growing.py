"""Records of curves that follow simple laws."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pandas as pd

from vigbench.analysis.curves import tokens_of
from vigbench.records.metrics import Metrics
from vigbench.records.schema import Record, columns
from vigbench.suites.case import Case

PX = (224, 384, 512, 768, 1024)
Law = Callable[[float], float]
LAWS: dict[str, Law] = {
    "vig": lambda n: 10 + 0.02 * n,
    "deit": lambda n: 1 + 0.02 * n + 2e-5 * n * n,
}
HOSTILE = "evil\x1b[2J|<b>`rm -rf`*.[net]"


def record(subject: str, extent: int | str, value: float | None, *, status: str = "ok", **settings: Any) -> Record:
    operator = settings.pop("operator", False)
    processes = settings.pop("processes", 1)
    where: Mapping[str, Any] = (
        {"length": extent, "heads": 3, "key_dim": 32, "value_dim": 64} if operator else {"resolution": extent}
    )
    case = Case(subject=subject, **where, **settings)
    known = status == "ok" and value is not None
    metrics = Metrics(
        latency_ms=value if known else None,
        latency_low_ms=value * 0.99 if known else None,
        latency_high_ms=value * 1.01 if known else None,
        peak_memory_mib=value if known else None,
        processes=processes,
    )
    return Record(
        case_id=case.case_id,
        case=case,
        family="other",
        status=status,
        started_at="2026-01-01T00:00:00Z",
        metrics=metrics,
    )


def frame(records: Iterable[Record], run: str = "demo") -> pd.DataFrame:
    return pd.DataFrame([{"run": run, **one.row()} for one in records], columns=["run", *columns()])


def sweep(laws: Mapping[str, Law], extents: Iterable[int] = PX, **settings: Any) -> list[Record]:
    over = "length" if settings.get("operator") else "resolution"
    return [record(name, one, law(tokens_of(over, one)), **settings) for name, law in laws.items() for one in extents]


def of_volumes(laws: Mapping[str, Law], extents: Iterable[int]) -> list[Record]:
    """The same of volumes, over patches of 16 x 16 x 16 voxels."""
    made = [record(name, one, law((one / 16) ** 3)) for name, law in laws.items() for one in extents]
    return [one.model_copy(update={"unit": "volume"}) for one in made]
