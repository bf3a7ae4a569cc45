from types import SimpleNamespace
from typing import Any

import pytest
import torch

from vigbench.measure.device_queue import FLUSH_TIMES_L2, L2_IF_UNKNOWN, CudaQueue

CPU = torch.device("cpu")
HZ = 1.98e9


class Cycles:
    """A device that only spins, at HZ; its first spin is slow, as a cold one is."""

    def __init__(self) -> None:
        self.now_ms, self.spins = 0.0, 0

    def sleep(self, cycles: int) -> None:
        self.now_ms += 1e3 * cycles / (HZ if self.spins else HZ / 7)
        self.spins += 1

    def event(self, enable_timing: bool) -> Any:
        assert enable_timing
        event = SimpleNamespace(at_ms=None, synchronize=lambda: None)
        event.record = lambda: setattr(event, "at_ms", self.now_ms)
        event.elapsed_time = lambda end: end.at_ms - event.at_ms
        return event


@pytest.fixture
def cycles(monkeypatch: pytest.MonkeyPatch) -> Cycles:
    device = Cycles()
    monkeypatch.setattr(torch.cuda, "_sleep", device.sleep)
    monkeypatch.setattr(torch.cuda, "Event", device.event)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(L2_cache_size=3 * 2**20))
    return device


@pytest.mark.parametrize("seconds", [1e-3, 0.1])
def test_a_spin_lasts_as_long_as_asked_at_whatever_clock(cycles: Cycles, seconds: float) -> None:
    queue = CudaQueue(CPU)
    before = cycles.now_ms
    queue.spin(seconds)
    assert cycles.now_ms - before == pytest.approx(1e3 * seconds, rel=1e-3)


def test_the_flush_writes_more_than_the_cache_holds(cycles: Cycles) -> None:
    queue = CudaQueue(CPU)
    assert queue._buffer.nbytes == FLUSH_TIMES_L2 * 3 * 2**20
    assert FLUSH_TIMES_L2 >= 2
    queue._buffer.fill_(1)
    queue.flush()
    assert not queue._buffer.any()


def test_an_unknown_cache_is_taken_as_a_large_one(cycles: Cycles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace())
    assert CudaQueue(CPU)._buffer.nbytes == FLUSH_TIMES_L2 * L2_IF_UNKNOWN
