"""A GPU without a GPU: what pynvml answers, from a table."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch


class FakeNvml:
    """Stands in for the pynvml module: two GPUs, of which torch's `cuda:0` is NVML's second.

    Its energy counter advances with `now`, in steps of `step_s` as the real one does.
    """

    class NVMLError(Exception):
        pass

    def __init__(self) -> None:
        self.now = 0.0
        self.watts, self.step_s = 300.0, 0.125
        self.clocks = iter(lambda: 1980, None)
        self.reasons = iter(lambda: 0, None)
        self.temperatures = iter(lambda: 50, None)
        self.processes = ["this one"]
        self.missing: set[str] = set()  # functions that this GPU does not support
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("nvml"):
            raise AttributeError(name)

        def ask(*arguments: Any) -> Any:
            self.asked.append(name)
            if name in self.missing:
                raise self.NVMLError("Not Supported")
            return self._answer(name, arguments)

        return ask

    def _answer(self, name: str, arguments: tuple[Any, ...]) -> Any:
        if name == "nvmlInit":
            return None
        if name == "nvmlSystemGetDriverVersion":
            return "580.1"
        if name == "nvmlDeviceGetHandleByUUID":
            if arguments[0] not in ("GPU-first", "GPU-second"):
                raise self.NVMLError("Not Found")
            return arguments[0]
        assert arguments[0] == "GPU-second", "the wrong GPU was asked"
        answers: dict[str, Callable[[], Any]] = {
            "nvmlDeviceGetTotalEnergyConsumption": lambda: int(
                self.now // self.step_s * self.step_s * self.watts * 1000
            ),
            "nvmlDeviceGetPowerUsage": lambda: int(self.watts * 1000),
            "nvmlDeviceGetEnforcedPowerLimit": lambda: 700_000,
            "nvmlDeviceGetClockInfo": lambda: next(self.clocks),
            "nvmlDeviceGetMaxClockInfo": lambda: 1980,
            "nvmlDeviceGetTemperature": lambda: next(self.temperatures),
            "nvmlDeviceGetCurrentClocksThrottleReasons": lambda: next(self.reasons),
            "nvmlDeviceGetComputeRunningProcesses": lambda: self.processes,
        }
        return answers[name]()


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    """Pass it wherever pynvml is expected, together with the device `cuda:0`."""
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="second"))
    return FakeNvml()
