import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings

from vigbench.measure.environment import describe_environment
from vigbench.records.metrics import Metrics
from vigbench.records.schema import Record
from vigbench.records.store import RunStore
from vigbench.stats.order import median_interval
from vigbench.suites.case import Case

WriteRun = Callable[..., Path]

# how long an example takes, or its making, decides nothing
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all-of-timm", action="store_true", help="Count every model of timm, not one of each family.")


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """Let SIGINT through: shells start background jobs with it ignored, and children would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def seeded() -> None:
    """What a test draws does not depend on the tests before it: an error near its limit would pass by luck."""
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def short_sampling() -> Iterator[None]:
    """Cases of runs in this process are sampled for 2 s at most, however large the budget that no machine can spend."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vigbench.runner.budget.MOST_SAMPLING_S", 2.0)
        yield


@pytest.fixture
def write_run(tmp_path: Path) -> WriteRun:
    """Write a run whose latencies are known: `levels` is subject -> milliseconds."""
    environment = describe_environment("cpu", 1)

    def write(
        name: str,
        levels: Mapping[str, float],
        *,
        processes: int = 5,
        noise: float = 0.004,
        calibration_ms: float | None = None,
        status: str = "ok",
        marks: tuple[str, ...] = (),
        metrics: Mapping[str, Any] | None = None,
        **info: Any,
    ) -> Path:
        given = {"suite": "smoke", "protocol": 1, "device": "cpu", "device_name": "a CPU", "environment": environment}
        store = RunStore.create(tmp_path / name, {**given, **info})
        for subject, level in levels.items():
            # the same draw on either side would hide what an interval is for
            rng = np.random.default_rng([*name.encode(), *subject.encode()])
            values = level * np.exp(noise * rng.standard_normal((processes, 30)))
            samples: list[dict[str, list[float]]] = [{"latency_ms": list(one)} for one in values]
            if calibration_ms is not None:
                for one in samples:
                    one["calibration_ms"] = [calibration_ms] * 30
            interval = median_interval(list(values.ravel()))
            ok = status == "ok"
            case = Case(subject=subject, resolution=64)
            record = Record(
                case_id=case.case_id,
                case=case,
                family="other",
                status=status,
                marks=marks,
                started_at="2026-01-01T00:00:00+00:00",
                metrics=Metrics(
                    latency_ms=interval.median if ok else None,
                    latency_low_ms=interval.low if ok else None,
                    latency_high_ms=interval.high if ok else None,
                    **(metrics or {}),
                ),
            )
            store.append(record, samples if ok else ())
        return store.folder

    return write
