"""Runs that never happened: records with numbers that follow simple laws."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import product
from typing import Any

import pandas as pd
import pytest

from vigbench.records.metrics import Metrics
from vigbench.records.schema import Record, Status, columns
from vigbench.suites.case import Case

RESOLUTIONS = (224, 384, 512, 768, 1024)
FRONT = {
    "run": "demo-cpu-20260101",
    "suite": "resolution-scaling",
    "protocol": 1,
    "device_name": "Demo CPU (2 threads)",
}
MakeRecord = Callable[..., Record]
MakeFrame = Callable[[Iterable[Record]], pd.DataFrame]


def record(
    subject: str,
    family: str,
    resolution: int | str,
    *,
    latency: float = 10.0,
    memory: float = 100.0,
    gmacs: float | None = 1.0,
    status: Status = Status.ok,
    reason: str = "",
    marks: tuple[str, ...] = (),
    interval: float = 0.01,
    **case: Any,
) -> Record:
    """One record; a status other than ok has no measured values."""
    settings = Case(subject=subject, resolution=resolution, **case)
    metrics = Metrics(gmacs=gmacs)
    if status is Status.ok:
        rate = 1000 * settings.batch_size / latency
        metrics = Metrics(
            latency_ms=latency,
            latency_low_ms=latency * (1 - interval),
            latency_high_ms=latency * (1 + interval),
            throughput_per_s=rate,
            throughput_low_per_s=rate * (1 - interval),
            throughput_high_per_s=rate * (1 + interval),
            activation_memory_mib=memory,
            peak_memory_mib=memory + 25,
            gmacs=gmacs,
        )
    return Record(
        case_id=settings.case_id,
        case=settings,
        family=family,
        status=status,
        reason=reason,
        marks=marks,
        started_at="2026-01-01T10:00:00Z",
        metrics=metrics,
    )


def frame(records: Iterable[Record]) -> pd.DataFrame:
    """The frame that `write_page` takes."""
    rows = [{**FRONT, "torch_version": "2.9.0", **one.row()} for one in records]
    return pd.DataFrame(rows, columns=[*FRONT, "torch_version", *columns()])


def sweep(resolutions: Iterable[int] = RESOLUTIONS, **case: Any) -> list[Record]:
    """ViG-T, DeiT-T (eager, sdpa), Vim-T and three others; eager DeiT runs out of memory at 1024 px."""
    records = []
    for px in resolutions:
        area = (px / 224) ** 2
        laws = [
            ("vig_tiny_patch16_224", "vig", "default", 14 * area, 40 * area, 0.9 * area),
            ("deit_tiny_patch16_224", "deit", "sdpa", 9 * area + 1.4 * area**2, 35 * area, 1.1 * area + 0.12 * area**2),
            ("deit_tiny_patch16_224", "deit", "eager", 9 * area + 3 * area**2, 30 * area + 12 * area**2, None),
            ("vim_tiny_patch16_224", "vim", "default", 60 * area, 90 * area, 1.6 * area),
            ("swin_tiny_patch4_window7_224", "windowed", "default", 41 * area, 110 * area, 4.5 * area),
            ("convnext_tiny", "cnn", "default", 35 * area, 80 * area, 4.5 * area),
            ("resnet50", "cnn", "default", 30 * area, 70 * area, 4.1 * area),
        ]
        for subject, family, implementation, latency, memory, gmacs in laws:
            settings: dict[str, Any] = {"implementation": implementation, **case}
            if implementation == "eager" and px >= 1024:
                reason = "needs 5.1 GiB, 4.0 GiB are free: use a smaller batch"
                records.append(
                    record(subject, family, px, status=Status.out_of_memory, reason=reason, gmacs=None, **settings)
                )
                continue
            records.append(record(subject, family, px, latency=latency, memory=memory, gmacs=gmacs, **settings))
    return records


def many(cases: int = 10_000) -> list[Record]:
    """Forty models in as many settings as it takes, at five resolutions; some marked, some out of memory."""
    families = ("vig", "deit", "vim", "linear", "windowed", "cnn", "other")
    settings = product((1, 2, 4, 8, 16, 32, 64), ("float32", "bfloat16"), ("inference", "training"), (False, True))
    records = []
    for (batch, precision, phase, compiled), px, model in product(settings, RESOLUTIONS, range(40)):
        area = (px / 224) ** 2
        latency = (1 + model % 17) * batch**0.9 * area ** (1 + (model % 3) / 3)
        lost = px == 1024 and model % 9 == 8
        case = {"batch_size": batch, "precision": precision, "phase": phase, "compile": compiled}
        status = Status.out_of_memory if lost else Status.ok
        marks = ("not_converged",) if model % 11 == 3 and not lost else ()
        name, family = f"model_{model:02}_{('tiny', 'small', 'base')[model % 3]}", families[model % 7]
        memory = float(batch * (1 + model % 5)) * area
        records.append(record(name, family, px, latency=latency, memory=memory, status=status, marks=marks,
                              reason="too large" * lost, **case))  # fmt: skip
    return records[:cases]


@pytest.fixture
def make_many() -> Callable[..., list[Record]]:
    return many


@pytest.fixture
def make_record() -> MakeRecord:
    return record


@pytest.fixture
def make_frame() -> MakeFrame:
    return frame


@pytest.fixture
def make_sweep() -> Callable[..., list[Record]]:
    return sweep


@pytest.fixture
def run_info() -> dict[str, Any]:
    return {
        "run": FRONT["run"],
        "suite": FRONT["suite"],
        "question": "From which resolution does linear complexity pay off on this device?",
        "protocol": 1,
        "started_at": "2026-01-01T10:00:00Z",
        "finished_at": "2026-01-01T11:00:00Z",
        "command_line": ["vigbench", "run", "resolution-scaling", "--device", "cpu"],
        "device": "cpu",
        "device_name": FRONT["device_name"],
        "environment": {"python": "3.13.5", "torch": {"version": "2.9.0", "threads": 2}, "flags": ["avx2", "fma"]},
        "planned_cases": 35,
    }
