"""How much of an iteration's peak memory is gradients: those already stored when the peak comes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, record_function

from vigbench.measure.memory import is_cpu_allocation, storage_bytes, without_collection
from vigbench.measure.path import events_of, one_profile

_STORED = "vigbench: gradient stored"


@dataclass(frozen=True)
class GradientMemory:
    """Bytes of `.grad` tensors.

    Attributes:
        total: of all parameters, after the backward pass.
        at_peak: of those stored at the moment of the allocator's peak. A gradient that is still on its way, as all are
            inside a compiled backward pass, is not stored yet.
    """

    total: int
    at_peak: int


def measure_gradients(call: Callable[[], object], model: nn.Module, device: torch.device) -> GradientMemory:
    """Gradients of one iteration, and how many of them the peak of memory holds. Leaves `model` without any.

    Args:
        call: one iteration with a backward pass, which clears earlier gradients first and leaves its own.
        model: its parameters get the gradients.
        device: cpu or cuda, where the iteration runs.
    """
    model.zero_grad(set_to_none=True)
    with without_collection():
        at_peak = (_at_cuda_peak if device.type == "cuda" else _at_cpu_peak)(call, model)
    total = storage_bytes(parameter.grad for parameter in model.parameters() if parameter.grad is not None)
    model.zero_grad(set_to_none=True)
    return GradientMemory(total, at_peak)


def stored_at_peak(seen: list[tuple[int, int]]) -> int:
    """Bytes stored when the peak came, from what was seen whenever a gradient was about to count as stored.

    Args:
        seen: in order: (bytes of gradients stored until now, peak of memory until now), the last at the very end.
    """
    peak = seen[-1][1]
    return next(stored for stored, so_far in seen if so_far == peak)


def _at_cuda_peak(call: Callable[[], object], model: nn.Module) -> int:
    seen: list[tuple[int, int]] = []
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    stored = 0

    def store(size: int) -> None:
        nonlocal stored
        seen.append((stored, torch.cuda.max_memory_allocated()))
        stored += size

    with _whenever_stored(model, store):
        call()
    torch.cuda.synchronize()
    return stored_at_peak([*seen, (stored, torch.cuda.max_memory_allocated())])


def _at_cpu_peak(call: Callable[[], object], model: nn.Module) -> int:
    sizes: list[int] = []

    def store(size: int) -> None:
        sizes.append(size)
        with record_function(_STORED):  # a mark in the profiler's order of events
            pass

    with (
        _whenever_stored(model, store),
        one_profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler,
    ):
        call()
    waiting = iter(sizes)
    live = peak = stored = 0
    seen: list[tuple[int, int]] = []
    for event in sorted(events_of(profiler), key=lambda event: event.start_ns()):
        if event.name() == _STORED:
            seen.append((stored, peak))
            stored += next(waiting)
        elif is_cpu_allocation(event):
            live += event.nbytes()
            peak = max(peak, live)
    return stored_at_peak([*seen, (stored, peak)])


@contextmanager
def _whenever_stored(model: nn.Module, store: Callable[[int], None]) -> Iterator[None]:
    def on_gradient(parameter: Tensor) -> None:
        if parameter.grad is not None:  # a function of the user's may have said that there is none
            store(parameter.grad.untyped_storage().nbytes())

    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    hooks = [parameter.register_post_accumulate_grad_hook(on_gradient) for parameter in trainable]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
