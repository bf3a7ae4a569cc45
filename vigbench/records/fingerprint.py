"""What a number depends on beside the code and the case: two numbers compare only where it is equal."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from vigbench.suites.loader import suite_files

_PACKAGE = Path(__file__).parents[1]


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _without_release(platform: str) -> str:
    words = platform.split()
    return f"{words[0]} {words[-1]}"


def _whole(number: str) -> str:
    return re.sub(r"\.\d+$", "", number)


class Field(NamedTuple):
    """One entry of the fingerprint."""

    path: str  # keys of run.json, dotted
    why: str
    shorten: Callable[[str], str] = str


FIELDS = {
    "protocol": Field("protocol", "the rules by which every number is obtained"),
    "device": Field("device", "the CPU and CUDA columns of the same name are measured differently"),
    "device_name": Field("device_name", "the hardware, and on the CPU its threads"),
    "system": Field("environment.platform", "scheduler, memory accounting; not the kernel's build", _without_release),
    "cpu": Field("environment.cpu.name", "launches a GPU's kernels, so it bounds small cases there too"),
    "cpu_capability": Field("environment.cpu.capability", "which vector instructions torch's CPU kernels use"),
    "threads": Field("environment.cpu.threads_used", "how many cores share one call"),
    "gpu_multiprocessors": Field("environment.gpu.multiprocessors", "a MIG slice reports the whole GPU's name"),
    "gpu_power_limit_w": Field("environment.gpu.power_limit_w", "caps the clocks under load", _whole),
    "driver": Field("environment.gpu.driver", "launch costs, clocks and the compiler of PTX"),
    "cuda": Field("environment.gpu.cuda", "which cuBLAS and which compiler torch brings"),
    "cudnn": Field("environment.gpu.cudnn", "the convolutions, and one attention backend"),
    "python": Field("environment.python", "interpreter time between two launches; fixed by the minor version", _minor),
    "torch": Field("environment.torch", "every kernel that vigbench does not bring itself"),
    "timm": Field("environment.packages.timm", "the code of the models to compare with"),
    "triton": Field("environment.packages.triton", "the compiler of vigbench's own kernels"),
    "monai": Field("environment.packages.monai", "the code of its networks: 1.5 changed what Swin UNETR computes"),
    "nnunet": Field("environment.packages.dynamic-network-architectures", "the code of nnU-Net's network"),
    "flash_attn": Field("environment.packages.flash-attn", "a subject may take its kernels where it is installed"),
    "mamba_ssm": Field("environment.packages.mamba-ssm", "the same"),
    "causal_conv1d": Field("environment.packages.causal-conv1d", "the same"),
    "flash_linear_attention": Field("environment.packages.flash-linear-attention", "the same"),
}
"""Not in it: the commit and the code, which are what is compared; load, clocks and free memory, which are records' own
columns or marks; numpy and pandas, which compute no measured number."""


def fingerprint(info: Mapping[str, Any]) -> dict[str, str]:
    """The fields of `FIELDS` from the content of `run.json`; empty where it does not apply or was not recorded."""
    return {name: field.shorten(text) if (text := _at(info, field.path)) else "" for name, field in FIELDS.items()}


def differences(base: Mapping[str, str], head: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Where two fingerprints differ: field -> (base, head); what only one of them has is empty in the other."""
    pairs = {name: (base.get(name, ""), head.get(name, "")) for name in {**base, **head}}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def digest(of: Mapping[str, str]) -> str:
    """12 hexadecimal digits; equal for equal fingerprints. Empty fields are left out: a new field changes no digest."""
    content = json.dumps({name: value for name, value in of.items() if value}, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def code_hash(folder: str = "") -> str:
    """12 hexadecimal digits over vigbench's Python files and shipped suites, equal in a checkout and when installed.

    With `folder`, over the Python and JSON files of that subpackage alone.
    """
    inside = [*_PACKAGE.joinpath(folder).rglob("*.py")]
    if folder:
        inside += _PACKAGE.joinpath(folder).rglob("*.json")
    files = {path.relative_to(_PACKAGE.parent).as_posix(): path for path in inside}
    files |= {} if folder else {f"suites/{name}.yaml": path for name, path in suite_files().items()}
    hashes = [f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}" for name, path in sorted(files.items())]
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()[:12]


def resume_differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """What no longer matches between a run's `run.json` and that of a run started now: name -> (then, now).

    Names are those of the fingerprint, `code` (see `code_hash`) and the paths of changed keys below
    `suite_definition`, with their values as JSON. What one side has not recorded is empty there, and differs.
    """
    return differences(_to_resume(then), _to_resume(now))


def _to_resume(info: Mapping[str, Any]) -> dict[str, str]:
    suite = dict(_leaves("suite_definition", info.get("suite_definition", {})))
    return {**suite, "code": _at(info, "code"), **fingerprint(info)}


def _leaves(path: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(f"{path}.{key}", inner)
    else:
        yield path, json.dumps(value, sort_keys=True)


def _at(info: Mapping[str, Any], path: str) -> str:
    value: Any = info
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return "" if value is None else str(value)
