"""Parts are timed apart, in order; a clock that only moves when told stands in for time."""

from dataclasses import replace

import pytest

from vigbench.measure import latency, sampling
from vigbench.measure.parts import measure_parts
from vigbench.measure.sampling import CPU


class Clock:
    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        for module in (latency, sampling):
            patch.setattr(module, "perf_counter", lambda: self.now)

    def spend(self, seconds: float) -> None:
        self.now += seconds


def test_each_part_has_its_own_time_and_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    ran: list[str] = []

    def part(name: str, seconds: float) -> None:
        ran.append(name)
        clock.spend(seconds)

    def synchronize() -> None:
        ran.append("wait")
        clock.spend(0.25)  # the device's own time, which the host has to wait for

    parts = {"forward": lambda: part("forward", 1.0), "backward": lambda: part("backward", 2.0)}
    taken = measure_parts(parts, synchronize, CPU, budget_s=1e9)
    assert ran[:6] == ["wait", "forward", "wait", "wait", "backward", "wait"]
    assert taken.converged
    assert set(taken.by_name["forward"]) == {1.25}
    assert set(taken.by_name["backward"]) == {2.25}
    assert len(taken.by_name["forward"]) == len(taken.by_name["backward"]) >= CPU.min_samples


def test_the_first_iteration_is_not_counted_and_the_budget_ends_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    waits = iter([100.0] + [1.0, 2.0] * 1000)
    taken = measure_parts({"only": lambda: clock.spend(next(waits))}, lambda: None, replace(CPU), budget_s=12.0)
    assert 100.0 not in taken.by_name["only"]
    assert not taken.converged
    assert len(taken.by_name["only"]) == 8  # 1 + 2 + ... reaches 12 s
