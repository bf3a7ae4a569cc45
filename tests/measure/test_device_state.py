from typing import Any

import pytest
import torch

from vigbench.measure.device_state import DeviceState, StateRecorder

CUDA = torch.device("cuda", 0)


def test_a_cpu_records_nothing_and_says_why(nvml: Any) -> None:
    recorder = StateRecorder(torch.device("cpu"), nvml)
    recorder.read()
    assert not recorder.available
    assert recorder.reason == "not available: the device is cpu, and NVML knows NVIDIA GPUs only"
    assert recorder.summary() == DeviceState()
    assert not recorder.summary().throttled
    assert recorder.series() == {}
    assert recorder.other_processes() is None
    assert nvml.asked == []


def test_the_summary_is_the_median_the_hottest_and_every_reason(nvml: Any) -> None:
    nvml.clocks, nvml.temperatures = iter([1980, 1400, 1755]), iter([60, 71, 65])
    nvml.reasons = iter([0x1, 0x4, 0x20])
    recorder = StateRecorder(CUDA, nvml)
    for _ in range(3):
        recorder.read()
    state = recorder.summary()
    assert recorder.available
    assert recorder.reason == ""
    assert (state.sm_clock_mhz, state.temperature_c, state.power_w) == (1755, 71, 300)
    assert state.throttle_reasons == "sw_power_cap;sw_thermal"
    assert recorder.series() == {
        "sm_clock_mhz": (1980, 1400, 1755),
        "power_w": (300, 300, 300),
        "temperature_c": (60, 71, 65),
    }


@pytest.mark.parametrize(
    ("bits", "throttled"),
    [(0x0, False), (0x1, False), (0x2, False), (0x10, False), (0x4, True), (0x8, True), (0x40, True), (0x80, True)],
)
def test_only_a_slow_down_for_power_or_heat_is_throttling(nvml: Any, bits: int, throttled: bool) -> None:
    nvml.reasons = iter([0, bits])
    recorder = StateRecorder(CUDA, nvml)
    recorder.read()
    recorder.read()
    assert recorder.summary().throttled is throttled


def test_without_a_reading_there_is_no_state(nvml: Any) -> None:
    assert StateRecorder(CUDA, nvml).summary() == DeviceState()


def test_what_one_gpu_lacks_is_asked_once_and_the_rest_goes_on(nvml: Any) -> None:
    nvml.missing.add("nvmlDeviceGetPowerUsage")
    recorder = StateRecorder(CUDA, nvml)
    for _ in range(3):
        recorder.read()
    assert nvml.asked.count("nvmlDeviceGetPowerUsage") == 1
    assert recorder.summary().power_w is None
    assert recorder.summary().sm_clock_mhz == 1980
    assert recorder.available


def test_a_gpu_that_answers_nothing_is_not_available(nvml: Any) -> None:
    nvml.missing |= {
        "nvmlDeviceGetPowerUsage",
        "nvmlDeviceGetClockInfo",
        "nvmlDeviceGetTemperature",
        "nvmlDeviceGetCurrentClocksThrottleReasons",
    }
    recorder = StateRecorder(CUDA, nvml)
    recorder.read()
    asked = len(nvml.asked)
    recorder.read()
    assert len(nvml.asked) == asked
    assert not recorder.available
    assert "Not Supported" in recorder.reason


@pytest.mark.parametrize(("processes", "others"), [(1, 0), (3, 2), (0, None)])
def test_this_process_is_one_of_those_that_nvml_lists(nvml: Any, processes: int, others: int | None) -> None:
    nvml.processes = ["one"] * processes
    assert StateRecorder(CUDA, nvml).other_processes() == others


def test_processes_are_unknown_where_nvml_cannot_list_them(nvml: Any) -> None:
    nvml.missing.add("nvmlDeviceGetComputeRunningProcesses")
    assert StateRecorder(CUDA, nvml).other_processes() is None
