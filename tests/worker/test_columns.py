"""Which of the device's times a record shows, and that it says so."""

from dataclasses import replace

import pytest

from vigbench.measure.device_time import KernelTime
from vigbench.measure.launch import DeviceWork
from vigbench.measure.sampling import Samples
from vigbench.records.kernel_time import KernelTimeSource
from vigbench.records.metrics import Metrics
from vigbench.worker.columns import device_time, kernel_columns

HIDDEN = KernelTime(Samples((2e-3, 2.1e-3, 2.2e-3), converged=True), launch_hidden=True)
EXPOSED = KernelTime(Samples((9e-3, 9.1e-3, 9.2e-3), converged=True), launch_hidden=False)
COLD = DeviceWork(busy_s=1e-3, latency_s=1e-2, kernel_s=(1.4e-3, 1.5e-3, 1.6e-3), cold=True)
WARM = replace(COLD, kernel_s=(1e-3,), cold=False)


@pytest.mark.parametrize(
    ("kernel", "work", "source", "middle_ms"),
    [
        (HIDDEN, COLD, "events", 2.1),
        (HIDDEN, None, "events", 2.1),
        (EXPOSED, COLD, "profile", 1.5),
        (None, COLD, "profile", 1.5),
        (EXPOSED, WARM, "profile_warm", 1.0),
        (EXPOSED, None, "events_exposed", 9.1),
    ],
)
def test_the_best_source_is_taken_and_named(
    kernel: KernelTime | None, work: DeviceWork | None, source: str, middle_ms: float
) -> None:
    metrics = Metrics.model_validate(kernel_columns(kernel, work))
    assert metrics.kernel_time_source == source
    assert metrics.kernel_ms == pytest.approx(middle_ms)
    assert metrics.kernel_low_ms is not None
    assert metrics.kernel_high_ms is not None
    assert metrics.kernel_low_ms <= middle_ms <= metrics.kernel_high_ms + 1e-9
    assert metrics.device_busy_share == (None if work is None else pytest.approx(0.1))


def test_without_any_source_the_time_is_empty() -> None:
    assert device_time(None, None) == (None, ())
    metrics = Metrics.model_validate(kernel_columns(None, None))
    assert (metrics.kernel_ms, metrics.kernel_time_source, metrics.device_busy_share) == (None, None, None)


def test_every_source_is_described() -> None:
    description = Metrics.model_fields["kernel_time_source"].description or ""
    assert all(f"`{source}`" in description for source in KernelTimeSource)
