"""Evidence that was never measured: records, duels and evaluations with chosen numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from vigbench.analysis.claims.schema import Claim
from vigbench.records.accuracy import Accuracy, AccuracyRow
from vigbench.records.duel import Duel
from vigbench.records.metrics import Metrics
from vigbench.records.schema import Record, Status, columns
from vigbench.suites.case import Case

PAPER = {"name": "P", "title": "A paper", "url": "https://example.org"}
GPU, CPU = "GPU of the test", "CPU of the test"
SETTINGS = {"batch_size": 64, "device": "cuda"}


def claim(**changes: Any) -> Claim:
    """ViG-T beside DeiT-T (eager) at 1024 px, twice as fast."""
    whole: dict[str, Any] = {
        "paper": PAPER,
        "id": "test",
        "statement": "A statement",
        "source": "abstract",
        "quantity": "latency_ms",
        "form": "times_less",
        "sense": "at_least",
        "ours": {"subject": "vig_tiny_patch16_224"},
        "theirs": {"subject": "deit_tiny_patch16_224", "implementation": "eager"},
        "points": [{"resolution": 1024, "published": 2.0}],
        "tolerance_percent": 10,
    }
    return Claim.model_validate({**whole, **changes})


def require_models(one: Claim) -> None:
    """Skip a test that builds a claim's models where one of another package is not installed."""
    if "swin_unetr" in {side.subject for side in (one.ours, one.theirs) if side}:
        pytest.importorskip("monai")


def case(subject: str, implementation: str = "triton_fused", **changes: Any) -> Case:
    """A GPU's case at 1024 px, or as changed."""
    return Case.model_validate(
        {"subject": subject, "implementation": implementation, "resolution": 1024, **SETTINGS, **changes}
    )


def frame(*records: tuple[Case, dict[str, Any]]) -> pd.DataFrame:
    """A frame as `load_results` gives it; a record's numbers may hold its `status`."""
    rows = []
    for one, numbers in records:
        metrics = {name: value for name, value in numbers.items() if name != "status"}
        record = Record(
            case_id=one.case_id, case=one, family="other", status=numbers.get("status", Status.ok),
            started_at="2026-01-01T00:00:00Z", metrics=Metrics(**metrics),
        )  # fmt: skip
        device = GPU if one.device == "cuda" else CPU
        rows.append({"run": "r", "suite": "s", "protocol": 1, "device_name": device, **record.row()})
    return pd.DataFrame(rows, columns=["run", "suite", "protocol", "device_name", *columns()])


def duel(base: Case, head: Case, ratio: float, spread: float = 0.01) -> Duel:
    """A duel whose interval is the ratio give or take a share."""
    device = GPU if base.device == "cuda" else CPU
    return Duel("duel-1", base, head, device, ratio, ratio * (1 - spread), ratio * (1 + spread), 6)


def accuracy(subject: str, percent: float, images: int = 50_000, half: float = 0.4, resolution: int = 1024) -> Accuracy:
    """An evaluation at one resolution."""
    row = AccuracyRow(resolution, images, percent, percent - half, percent + half, None, None, None, 0)
    return Accuracy(Path("accuracy"), {"settings": {"subject": subject}}, (row,))
