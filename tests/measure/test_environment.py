import getpass
import json
import platform
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from vigbench.measure.energy import find_meter
from vigbench.measure.environment import available_memory, describe_environment, describe_gpu, device_name, nvml_state
from vigbench.measure.settings import default_threads


def test_environment_is_plain_data_and_names_no_host_or_user() -> None:
    text = json.dumps(describe_environment("cpu", 0))
    assert platform.node() not in text
    assert getpass.getuser() not in text.replace("root", "") or getpass.getuser() == "root"
    assert json.loads(text)["torch"]


def test_device_name_says_how_many_threads() -> None:
    assert device_name("cpu", 1).endswith("(1 thread)")
    assert f"{default_threads()} thread" in device_name("cpu")


def test_some_memory_is_available() -> None:
    assert available_memory() > 2**26


def test_the_energy_source_or_its_absence_is_named() -> None:
    source = describe_environment("cpu", 0)["energy_source"]
    assert source.startswith(("RAPL", "not available: "))


def test_the_cores_that_this_process_may_use_are_counted() -> None:
    cpu = describe_environment("cpu", 0)["cpu"]
    assert 1 <= cpu["affinity_cores"] <= cpu["logical_cores"]


CUDA = torch.device("cuda", 0)


def test_the_state_of_a_gpu_is_plain_data(nvml: Any) -> None:
    nvml.reasons = iter([0x24])
    assert nvml_state(CUDA, nvml) == {
        "driver": "580.1",
        "sm_clock_mhz": 1980,
        "max_sm_clock_mhz": 1980,
        "power_limit_w": 700,
        "temperature_c": 50,
        "throttle_reasons": "0x24",
    }


def test_what_nvml_lacks_says_so_and_the_rest_is_there(nvml: Any) -> None:
    nvml.missing.add("nvmlDeviceGetEnforcedPowerLimit")
    state = nvml_state(CUDA, nvml)
    assert state["power_limit_w"] == "not available: nvmlDeviceGetEnforcedPowerLimit: Not Supported"
    assert state["driver"] == "580.1"
    nvml.missing.add("nvmlInit")
    assert nvml_state(CUDA, nvml) == {"nvml": "not available: nvmlInit: Not Supported"}


def test_a_gpu_without_nvml_is_described_by_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    chip = SimpleNamespace(
        name="NVIDIA H100",
        total_memory=80 * 2**30,
        L2_cache_size=50 * 2**20,
        major=9,
        minor=0,
        multi_processor_count=132,
        uuid="none",
    )
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: chip)
    described = json.loads(json.dumps(describe_gpu(CUDA)))
    assert described["name"] == "NVIDIA H100"
    assert described["l2_cache_mib"] == 50
    assert described["compute_capability"] == "9.0"
    assert described["nvml"].startswith("not available: ") or "driver" in described


def test_an_amd_gpu_is_described_without_nvml_cudnn_or_a_uuid(monkeypatch: pytest.MonkeyPatch) -> None:
    chip = SimpleNamespace(name="AMD MI300X", total_memory=192 * 2**30, major=9, minor=4, multi_processor_count=304)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: chip)
    monkeypatch.setattr(torch.version, "hip", "6.4")
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: None)
    monkeypatch.setitem(sys.modules, "pynvml", None)
    described = json.loads(json.dumps(describe_gpu(CUDA)))
    assert (described["name"], described["hip"], described["cuda"]) == ("AMD MI300X", "6.4", None)
    assert described["nvml"] == "not available: this is an AMD GPU, and NVML knows NVIDIA GPUs only"
    assert not find_meter(CUDA).available
