"""Finds the fastest settings of the Triton kernels for this GPU; a measured case only looks them up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from triton.runtime.errors import TritonError

from vigbench.measure.correctness import OPERATOR_TOLERANCE, relative_error
from vigbench.measure.device_time import measure_kernel_time
from vigbench.measure.sampling import criterion_for
from vigbench.measure.settings import DTYPES, SEED
from vigbench.ops.gla.kernels import launch
from vigbench.ops.gla.kernels.launch import log_decay_gates
from vigbench.ops.gla.kernels.settings import Key, Pass, Settings, capability_of, default_settings, forbidden, key_of
from vigbench.ops.gla.reference import reference

# Values tried for each setting, one setting at a time: together they would be 100,000 combinations.
CHOICES: dict[str, tuple[int, ...]] = {
    "chunk": (16, 32, 64, 128),
    "warps": (2, 4, 8, 16),
    "segment": (2, 4, 8, 16, 32),
    "states_warps": (2, 4, 8),
    "states_stages": (1, 2, 3, 4),
    "value_block": (16, 32, 64, 128),
    "key_block": (16, 32, 64),
    "stages": (1, 2, 3),
}
GAIN = 0.98  # of the best time so far, or noise would decide
SECONDS_EACH = 0.3  # of sampling, for one candidate
CHECKED_TOKENS = 512  # the reference goes token by token

Seconds = Callable[[Settings], float | None]
"""Device seconds of a call with these settings; None where they do not run, or give a wrong result."""


@dataclass(frozen=True)
class Task:
    """What to tune for: one pass over sequences of one shape."""

    precision: str
    heads: int
    key_dim: int
    value_dim: int
    length: int
    batch_size: int
    pass_: Pass

    def key(self, capability: str) -> Key:
        """Its place in the tuned table."""
        return key_of(capability, DTYPES[self.precision], self.key_dim, self.value_dim, self.length, self.pass_)

    def default(self, capability: str) -> Settings:
        """The settings to begin from."""
        return default_settings(capability, DTYPES[self.precision], self.pass_)

    def allows(self, capability: str, settings: Settings) -> bool:
        """Whether no compiler is known to get these settings wrong."""
        return forbidden(settings, capability, DTYPES[self.precision], self.pass_) is None

    def label(self) -> str:
        """One short line for people."""
        shape = f"{self.heads}x{self.key_dim}x{self.value_dim}"
        return f"{self.pass_} {shape} {self.length} tokens b{self.batch_size} {self.precision}"


class Found(NamedTuple):
    """The fastest settings of a task; seconds of a call with the default ones, and with these."""

    settings: Settings
    default_s: float
    best_s: float
    tried: int


def descend(start: Settings, seconds: Seconds, allowed: Callable[[Settings], bool] = lambda _: True) -> Found | None:
    """Change one setting at a time for as long as that helps; None where not even `start` runs.

    Args:
        start: the settings to begin from.
        seconds: what to minimise; asked once for each candidate.
        allowed: what may be tried at all.
    """
    times: dict[Settings, float | None] = {start: seconds(start)}
    first = times[start]
    if first is None:
        return None
    best, best_s = start, first
    improved = True
    while improved:
        improved = False
        for candidate in _neighbours(best):
            if candidate in times or not allowed(candidate):
                continue
            times[candidate] = taken = seconds(candidate)
            if taken is not None and taken < GAIN * best_s:
                best, best_s, improved = candidate, taken, True
    return Found(best, first, best_s, len(times))


def _neighbours(settings: Settings) -> Iterator[Settings]:
    for name, values in CHOICES.items():
        for value in values:
            if value != getattr(settings, name):
                yield settings._replace(**{name: value})


def tune(tasks: Iterable[Task], device: torch.device) -> Iterator[tuple[Task, Found | None]]:
    """Each task with what was found for it, as soon as it is; None where the default settings do not run.

    Raises:
        ValueError: if `device` is not a CUDA device: times elsewhere would say nothing about it.
    """
    if device.type != "cuda":
        raise ValueError("Kernels are tuned on the GPU that will run them: there is no CUDA device here.")
    capability = capability_of(device)
    for task in tasks:
        yield task, descend(task.default(capability), Trial(task, device).seconds, partial(task.allows, capability))


class Trial:
    """Runs a task's pass with any settings, checks it against the reference and times it."""

    def __init__(self, task: Task, device: torch.device) -> None:
        self.task, self.device = task, device
        self.inputs = _inputs(task, device)
        self.short = [x[:1, :CHECKED_TOKENS] for x in self.inputs]
        self.expected = self._defined()

    def seconds(self, settings: Settings) -> float | None:
        """Median device seconds of one call, None where it fails or is wrong."""
        try:
            errors = [relative_error(x, y) for x, y in zip(self.run(self.short, settings), self.expected, strict=True)]
            if not max(errors) <= OPERATOR_TOLERANCE["gla"][self.task.precision]:
                return None
            criterion = criterion_for(self.device.type)
            call = lambda: self.run(self.inputs, settings)  # noqa: E731
            time = measure_kernel_time(call, self.device, criterion, SECONDS_EACH)
        except TritonError:  # it does not compile, or asks for more than the GPU has
            return None
        return None if time is None else time.samples.interval().median

    def run(self, inputs: list[Tensor], settings: Settings) -> list[Tensor]:
        """The pass with these settings: the output, or all gradients."""
        q, k, v, g_fwd, g_bwd, grad = inputs
        gates = log_decay_gates(g_fwd, g_bwd)
        if self.task.pass_ == "forward":
            return [launch.forward(q, k, v, gates, 1.0, settings)]
        return launch.backward(grad, q, k, v, gates, 1.0, settings)

    def _defined(self) -> list[Tensor]:
        q, k, v, g_fwd, g_bwd, grad = [x.detach().float() for x in self.short]
        if self.task.pass_ == "forward":
            return [reference(q, k, v, g_fwd, g_bwd, 1.0)]
        leaves = [x.requires_grad_() for x in (q, k, v, g_fwd, g_bwd)]
        return list(torch.autograd.grad(reference(q, k, v, g_fwd, g_bwd, 1.0), leaves, grad))


def _inputs(task: Task, device: torch.device) -> list[Tensor]:
    """q, k, v, both log-decays as in ViG, and the output's gradient, with the strides of ViG's projections."""
    generator = torch.Generator(device).manual_seed(SEED)
    heads, key, value = task.heads, task.key_dim, task.value_dim
    widths = [heads * dim for dim in (key, key, value)]

    def normal(width: int) -> Tensor:
        return torch.randn(task.batch_size, task.length, width, generator=generator, device=device)

    dtype = DTYPES[task.precision]
    projected = [x.unflatten(-1, (heads, -1)) for x in normal(sum(widths)).to(dtype).split(widths, -1)]
    gates = (F.logsigmoid(normal(2 * heads * key)) / 16).to(dtype).unflatten(-1, (2, heads, key)).unbind(2)
    return [*projected, *gates, normal(heads * value).to(dtype).unflatten(-1, (heads, -1))]
