"""Which code ran: the operators and kernels of one call, as the profiler saw them, against what a label promises."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

# torch's names of what scaled_dot_product_attention chose; the CPU's flash attention has a name of its own
SDPA_BACKENDS = {
    "aten::_scaled_dot_product_flash_attention": "flash",
    "aten::_scaled_dot_product_flash_attention_for_cpu": "flash",
    "aten::_scaled_dot_product_efficient_attention": "efficient",
    "aten::_scaled_dot_product_cudnn_attention": "cudnn",
    "aten::_scaled_dot_product_attention_math": "math",
    "aten::_scaled_dot_product_attention_math_for_mps": "math",
    "aten::_scaled_dot_product_fused_attention_overrideable": "overrideable",
}


_NO_WORK = ("Context Sync", "Stream Sync", "Event Sync", "Stream Wait Event")  # the device waits in them


@dataclass(frozen=True)
class ExecutedPath:
    """What one call ran: name -> how often.

    Attributes:
        operators: torch operators, `namespace::name`, those inside others included.
        kernels: CUDA kernels; empty on a CPU.
    """

    operators: Mapping[str, int] = field(default_factory=dict)
    kernels: Mapping[str, int] = field(default_factory=dict)

    @property
    def sdpa_backend(self) -> str | None:
        """Backend of scaled_dot_product_attention that ran, several `;`-separated; None where it did not run."""
        found = {SDPA_BACKENDS[name] for name in self.operators if name in SDPA_BACKENDS}
        return ";".join(sorted(found)) or None

    def broken_promise(self, must_run: Iterable[str], must_not_run: Iterable[str]) -> str | None:
        """The first pattern that was missed or should not have matched, in words; None where all is as promised.

        Args:
            must_run: glob patterns; each has to match an operator or a kernel.
            must_not_run: glob patterns; none may match.
        """
        names = [*self.operators, *self.kernels]
        for pattern in must_run:
            if not any(fnmatchcase(name, pattern) for name in names):
                return f"{pattern} did not run"
        for pattern in must_not_run:
            if wrong := next((name for name in names if fnmatchcase(name, pattern)), None):
                return f"{wrong} ran, which it must not"
        return None


def record_path(call: Callable[[], object], device: torch.device) -> ExecutedPath:
    """Profile one call on `device` (cpu or cuda)."""
    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
        torch.cuda.synchronize()
    with one_profile(activities=activities) as profiler:
        call()
        if device.type == "cuda":
            torch.cuda.synchronize()
    operators: Counter[str] = Counter()
    kernels: Counter[str] = Counter()
    for event in events_of(profiler):
        name = event.name()
        if event.device_type().name == "CUDA":
            if is_device_work(event) and not name.startswith(("Memcpy", "Memset")):
                kernels[name] += 1
        elif "::" in name and " " not in name:  # the rest are runtime calls, annotations and Python frames
            operators[name] += 1
    return ExecutedPath(dict(operators), dict(kernels))


@contextmanager
def one_profile(**options: Any) -> Iterator[profile]:
    """A `torch.profiler.profile` of one cycle, whose events torch puts in order only where somebody asks for that.

    With `acc_events` it would do so at once, which takes ten times as long as a call of many small operators.
    """
    with ExitStack() as stack:
        with warnings.catch_warnings():  # torch 2.11 warns at each profile of what further cycles would lose
            warnings.filterwarnings("ignore", message=".*clears events at the end of each cycle")
            profiler = stack.enter_context(profile(**options))
        yield profiler


def events_of(profiler: Any) -> list[Any]:
    """The profiler's raw events; the public list costs seconds and merges what belongs apart."""
    events: list[Any] = profiler.profiler.kineto_results.events()
    return events


def is_device_work(event: Any) -> bool:
    """Whether an event of the device is a kernel, copy or fill, not an annotation or a wait."""
    return not event.is_user_annotation() and event.name() not in _NO_WORK
