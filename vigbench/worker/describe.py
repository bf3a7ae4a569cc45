"""What a process says of its machine: the device, the environment, and what the device reaches at best."""

from __future__ import annotations

from typing import Any

import torch

from vigbench.measure.ceilings import copy_gb_per_s, product_tflop_per_s
from vigbench.measure.environment import describe_environment, device_name
from vigbench.records.fingerprint import code_hash
from vigbench.records.schema import PROTOCOL
from vigbench.subjects.task import DTYPES
from vigbench.suites.axes import Device
from vigbench.suites.case import Case
from vigbench.worker.build import apply_case_settings


def choose_device(device: str, *, planning: bool = False) -> Device:
    """`auto` is cuda where torch sees a device, else cpu; planning for a device that is not here is fine.

    Raises:
        ValueError: for another name, or cuda where there is none.
    """
    if device == "auto":
        return Device.cuda if torch.cuda.is_available() else Device.cpu
    if device not in Device.__members__:
        raise ValueError(f"--device {device!r} is not allowed; choose auto, cpu or cuda.")
    if device == "cuda" and not planning and not torch.cuda.is_available():
        raise ValueError(
            "--device cuda: torch sees no CUDA device here; run `vigbench doctor`, or choose --device cpu."
        )
    return Device(device)


def describe_here(case: Case) -> dict[str, Any]:
    """What a case's numbers depend on: `protocol`, `device`, `device_name`, `environment` and `code`, for run.json."""
    return {
        "protocol": PROTOCOL,
        "device": case.device.value,
        "device_name": device_name(case.device, case.threads),
        "environment": describe_environment(case.device, case.threads),
        "code": code_hash(),
    }


def ceilings_here(case: Case) -> dict[str, Any]:
    """The ceilings of the case's device, threads and precision, measured in this process."""
    apply_case_settings(case)
    device = torch.device(case.device.value)
    return {
        "copy_gb_per_s": copy_gb_per_s(device),
        "product_tflop_per_s": product_tflop_per_s(device, DTYPES[case.precision]),
    }
