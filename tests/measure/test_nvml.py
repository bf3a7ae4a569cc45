import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from vigbench.measure.nvml import NvmlUnavailableError, find_gpu, throttle_names

CUDA = torch.device("cuda", 0)


def test_the_gpu_is_found_by_its_uuid_and_not_by_its_number(nvml: Any) -> None:
    assert find_gpu(CUDA, nvml).handle == "GPU-second"


def test_a_slice_of_a_gpu_is_found_by_its_own_uuid(nvml: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvml, "_answer", lambda name, arguments: {"nvmlInit": None}.get(name, _mig(nvml, *arguments)))
    assert find_gpu(CUDA, nvml).handle == "MIG-second"


def _mig(nvml: Any, *arguments: Any) -> Any:
    if arguments and not arguments[0].startswith("MIG-"):
        raise nvml.NVMLError("Not Found")
    return arguments[0] if arguments else None


def test_numbers_have_the_units_of_their_names(nvml: Any) -> None:
    gpu = find_gpu(CUDA, nvml)
    nvml.now = 2.0
    assert gpu.energy_j() == pytest.approx(600)  # 300 W for 2 s, counted in mJ
    assert gpu.power_w() == 300  # counted in mW
    assert gpu.power_limit_w() == 700
    assert (gpu.sm_clock_mhz(), gpu.max_sm_clock_mhz(), gpu.temperature_c()) == (1980, 1980, 50)
    assert gpu.driver() == "580.1"


@pytest.mark.parametrize("missing", ["nvmlInit", "nvmlDeviceGetHandleByUUID"])
def test_without_nvml_or_a_known_gpu_the_reason_names_what_failed(nvml: Any, missing: str) -> None:
    nvml.missing.add(missing)
    with pytest.raises(NvmlUnavailableError, match=f"{missing}: Not Supported"):
        find_gpu(CUDA, nvml)


def test_a_function_that_this_gpu_lacks_is_named(nvml: Any) -> None:
    nvml.missing.add("nvmlDeviceGetTotalEnergyConsumption")
    gpu = find_gpu(CUDA, nvml)
    with pytest.raises(NvmlUnavailableError, match="nvmlDeviceGetTotalEnergyConsumption: Not Supported"):
        gpu.energy_j()
    assert gpu.power_w() == 300


def test_a_function_that_pynvml_has_renamed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    old = SimpleNamespace(NVMLError=RuntimeError)
    with pytest.raises(NvmlUnavailableError, match="this pynvml has no nvmlInit"):
        find_gpu(CUDA, old)


def test_a_cpu_has_no_gpu_and_costs_no_call(nvml: Any) -> None:
    with pytest.raises(NvmlUnavailableError, match="the device is cpu"):
        find_gpu(torch.device("cpu"), nvml)
    assert nvml.asked == []


def test_without_its_package_the_reason_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no dependency: with it ROCm's torch can fail to count devices."""
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(NvmlUnavailableError, match="pip install nvidia-ml-py"):
        find_gpu(CUDA)


def test_an_amd_gpu_is_not_asked_for_by_nvidia_s_library(nvml: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch calls it cuda, too."""
    monkeypatch.setattr(torch.version, "hip", "6.4")
    with pytest.raises(NvmlUnavailableError, match="this is an AMD GPU"):
        find_gpu(CUDA, nvml)
    assert nvml.asked == []


def test_throttle_bits_are_those_of_nvml_h() -> None:
    import pynvml

    names = {
        "applications_clocks": "ApplicationsClocksSetting",
        "sw_power_cap": "SwPowerCap",
        "hw_slowdown": "HwSlowdown",
        "sync_boost": "SyncBoost",
        "sw_thermal": "SwThermalSlowdown",
        "hw_thermal": "HwThermalSlowdown",
        "hw_power_brake": "HwPowerBrakeSlowdown",
        "display_clock": "DisplayClockSetting",
    }
    for ours, theirs in names.items():
        assert throttle_names(getattr(pynvml, f"nvmlClocksThrottleReason{theirs}")) == (ours,)
    assert throttle_names(pynvml.nvmlClocksThrottleReasonGpuIdle) == ()
    assert throttle_names(0x24) == ("sw_power_cap", "sw_thermal")


def test_constants_are_those_of_pynvml() -> None:
    import pynvml

    from vigbench.measure import nvml as ours

    assert pynvml.NVML_CLOCK_SM == ours._CLOCK_SM
    assert pynvml.NVML_TEMPERATURE_GPU == ours._TEMPERATURE_GPU
    for function in (
        "nvmlDeviceGetTotalEnergyConsumption",
        "nvmlDeviceGetPowerUsage",
        "nvmlDeviceGetEnforcedPowerLimit",
        "nvmlDeviceGetClockInfo",
        "nvmlDeviceGetMaxClockInfo",
        "nvmlDeviceGetTemperature",
        "nvmlDeviceGetCurrentClocksThrottleReasons",
        "nvmlDeviceGetComputeRunningProcesses",
        "nvmlDeviceGetHandleByUUID",
        "nvmlSystemGetDriverVersion",
        "nvmlInit",
    ):
        assert callable(getattr(pynvml, function)), function
