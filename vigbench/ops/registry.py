"""One registry for the implementations of every operator, whatever the operator is."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch

from vigbench.nearest import did_you_mean, one_of
from vigbench.ops.precision import HALF

DISTRIBUTIONS = {  # what to install, where it is not called like the module
    "fla": "flash-linear-attention",
    "flash_attn_2_cuda": "flash-attn",
    "flash_attn.cute": "--pre flash-attn-4",
    "selective_scan_cuda": "mamba-ssm",
}


class UnsupportedError(ValueError):
    """This cannot be measured with these settings; the message says why and what to do."""


@dataclass(frozen=True)
class Implementation:
    """Code that computes an operator, and what it needs to run.

    `target` is "package.module:function" and is imported on first use, so that listing needs no optional package.
    `devices` are torch device types; empty means any. `training` says whether it has a backward, `inference_only`
    on which devices it has none. `half_only` are devices on which it takes float16 and bfloat16 only, `float64` says
    whether it takes double precision, `infinite_decay` whether log-decays of -inf (a state is forgotten) are among its
    inputs; of operators without decays it says nothing. `repeatable` says whether the same inputs give the same bits
    again, gradients included: no promise of code that is not the project's own. `tf32` says that its float32 products
    go through TF32, whatever is asked for.
    `check` is a "package.module:function" that says why an installed package cannot run here, or None.
    `must_run` and `must_not_run` are glob patterns of operators (`aten::bmm`) and CUDA kernels that a profile of it
    has to show or must not show: the proof that the label is what ran. `must_run_on_cuda` are more of the first kind.
    """

    operator: str
    name: str
    description: str
    target: str
    requires: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    training: bool = True
    inference_only: tuple[str, ...] = ()
    half_only: tuple[str, ...] = ()
    float64: bool = True
    infinite_decay: bool = True
    repeatable: bool = True
    tf32: bool = False
    check: str | None = None
    must_run: tuple[str, ...] = ()
    must_run_on_cuda: tuple[str, ...] = ()
    must_not_run: tuple[str, ...] = ()

    def unsupported_reason(self, device: str | torch.device, dtype: torch.dtype | None = None) -> str | None:
        """Why it cannot run on this device, in words a person can act on; None where it can. "meta" always can.

        `dtype` is that of the inputs; None: any that it takes.
        """
        kind = torch.device(device).type
        missing = [package for package in self.requires if not _is_installed(package)]
        if kind == "meta":
            return None
        if missing:
            names = " ".join(dict.fromkeys(DISTRIBUTIONS.get(one, one.replace("_", "-")) for one in missing))
            verb = "is" if len(missing) == 1 else "are"
            return f"{', '.join(missing)} {verb} not installed: pip install {names}"
        if self.devices and kind not in self.devices:
            return (
                f"{self.name} runs on {', '.join(self.devices)}, not on {kind}: choose another device or implementation"
            )
        if kind == "cuda" and not torch.cuda.is_available():
            return "no CUDA device is visible: check nvidia-smi and CUDA_VISIBLE_DEVICES"
        if dtype == torch.float64 and not self.float64:
            return f"{self.name} takes no float64: choose an implementation that does"
        if kind in self.half_only and dtype is not None and dtype not in HALF:
            return f"{self.name} takes half precision only on {kind}: choose bfloat16 or float16"
        return None if self.check is None else str(reason) if (reason := _load(self.check)()) else None

    def load(self) -> Callable[..., Any]:
        """The function itself, imported now."""
        return _load(self.target)


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # of a part of a package that is not there at all
        return False


def _load(target: str) -> Callable[..., Any]:
    module, _, function = target.partition(":")
    loaded: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return loaded


_IMPLEMENTATIONS: dict[str, dict[str, Implementation]] = {}


def register(implementation: Implementation) -> Implementation:
    """Add an implementation; within an operator the first registered one that is supported is what "auto" means."""
    names = _IMPLEMENTATIONS.setdefault(implementation.operator, {})
    assert implementation.name not in names, f"{implementation.operator}/{implementation.name} is registered twice"
    assert implementation.name != "auto", "'auto' is a choice among implementations, not one of them"
    names[implementation.name] = implementation
    return implementation


def list_implementations(operator: str | None = None) -> list[Implementation]:
    """Implementations of one operator, or of all, in order of preference. ValueError for an unknown operator."""
    if operator is None:
        return [each for names in _IMPLEMENTATIONS.values() for each in names.values()]
    _check(operator, _IMPLEMENTATIONS, "operator")
    return list(_IMPLEMENTATIONS[operator].values())


def count_implementations(operator: str) -> int:
    """How many implementations of an operator are registered so far."""
    return len(_IMPLEMENTATIONS.get(operator, {}))


def get_implementation(operator: str, name: str) -> Implementation:
    """The implementation of that name. ValueError, with the allowed names, where there is none."""
    _check(operator, _IMPLEMENTATIONS, "operator")
    _check(name, _IMPLEMENTATIONS[operator], f"implementation of {operator}")
    return _IMPLEMENTATIONS[operator][name]


def select_implementation(
    operator: str, name: str, device: str, training: bool = False, dtype: torch.dtype | None = None
) -> Implementation:
    """The named implementation, or for "auto" the first supported one, if it can run on this device type.

    `training` asks for one with a backward, `dtype` for one that takes it. ValueError, with the reason, where nothing
    fits.
    """
    if name != "auto":
        chosen = get_implementation(operator, name)
        if reason := _reason(chosen, device, training, dtype):
            raise ValueError(f"{operator} implementation {name!r} cannot run: {reason}")
        return chosen
    for each in list_implementations(operator):
        portable = not each.devices or torch.device(device).type != "meta"  # shapes: the one that any machine has
        if portable and _reason(each, device, training, dtype) is None:
            return each
    raise ValueError(f"no implementation of {operator} runs on {device!r}; see list_implementations({operator!r})")


def _reason(implementation: Implementation, device: str, training: bool, dtype: torch.dtype | None) -> str | None:
    if training and torch.device(device).type in implementation.inference_only:
        return f"{implementation.name} has no backward on {torch.device(device).type}: choose another implementation"
    if training and not implementation.training:
        return f"{implementation.name} has no backward: use torch.no_grad() or another implementation"
    return implementation.unsupported_reason(device, dtype)


def _check(name: str, allowed: dict[str, Any], what: str) -> None:
    if name not in allowed:
        raise ValueError(f"unknown {what} {name!r}{did_you_mean(name, allowed)} Choose from {one_of(sorted(allowed))}.")
