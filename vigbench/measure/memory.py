"""Memory of one iteration: weights, inputs and activations apart; allocator peak and process peak both."""

from __future__ import annotations

import ctypes
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

MIB = 2**20
_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Memory:
    """Bytes; None where this device or system has no source for the number.

    Attributes:
        weights: parameters and buffers, shared storage once.
        inputs: the input batch.
        peak: allocator peak during the iteration, weights and inputs included.
        reserved: CUDA: held by the caching allocator at the peak.
        process_peak: CPU: resident memory of the whole process at its peak during one iteration.
        process_growth: CPU: resident memory gained from before that iteration to its peak.
    """

    weights: int
    inputs: int
    peak: int
    reserved: int | None = None
    process_peak: int | None = None
    process_growth: int | None = None

    @property
    def activations(self) -> int:
        """Everything the iteration itself allocates at its worst moment."""
        return self.peak - self.weights - self.inputs


def measure_memory(call: Callable[[], object], model: nn.Module, inputs: Tensor) -> Memory:
    """Peak memory of one iteration on the device of `inputs`.

    Args:
        call: one iteration. It must free what it allocates when its result is dropped.
        model: its parameters and buffers are the weights.
        inputs: the input batch.
    """
    weights = _storage_bytes(chain(model.parameters(), model.buffers()))
    input_bytes = _storage_bytes([inputs])
    if inputs.device.type == "cuda":
        return _measure_cuda(call, weights, input_bytes)
    process_peak, process_growth = _process_peak(call)
    return Memory(
        weights=weights,
        inputs=input_bytes,
        peak=weights + input_bytes + cpu_allocator_peak(call),
        process_peak=process_peak,
        process_growth=process_growth,
    )


def _measure_cuda(call: Callable[[], object], weights: int, inputs: int) -> Memory:
    torch.cuda.synchronize()
    torch.cuda.empty_cache()  # so that `reserved` shows this iteration, not the warm-up
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    call()
    torch.cuda.synchronize()
    growth = torch.cuda.max_memory_allocated() - before  # gradients that training keeps are in `before`
    return Memory(
        weights=weights,
        inputs=inputs,
        peak=weights + inputs + growth,
        reserved=torch.cuda.max_memory_reserved(),
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed for lack of memory, on a GPU or a CPU (which has no exception type of its own)."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


def cpu_allocator_peak(call: Callable[[], object]) -> int:
    """Largest sum of live bytes that torch's CPU allocator handed out during `call`, exact to the byte."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        result = call()
    del result
    live = peak = 0
    for event in _memory_events(profiler):
        live += event.nbytes()
        peak = max(peak, live)
    return peak


def _memory_events(profiler: Any) -> list[Any]:
    # The public event list adds allocations up by operator, which loses the moment of the peak.
    events = profiler.profiler.kineto_results.events()
    memory = [event for event in events if event.name() == "[memory]" and event.device_type().name == "CPU"]
    return sorted(memory, key=lambda event: event.start_ns())


def _process_peak(call: Callable[[], object]) -> tuple[int | None, int | None]:
    """Resident bytes at the peak of `call` and their growth since before it; None where Linux's /proc is missing."""
    try:
        _trim_heap()  # else memory that malloc kept from the warm-up would hide a growth
        _CLEAR_REFS.write_text("5")  # resets the high-water mark of resident memory
    except OSError:
        return None, None
    before = status_bytes("VmRSS")
    result = call()
    peak = status_bytes("VmHWM")
    del result
    return peak, max(0, peak - before)


def process_peak_source() -> str:
    """Where the process peak comes from on this machine, or why there is none."""
    return "/proc/self/clear_refs" if _CLEAR_REFS.exists() else "not available: needs Linux's /proc"


def _trim_heap() -> None:
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc only
        if trim is not None:
            trim(0)


def status_bytes(field: str) -> int:
    """A size of this process from Linux's /proc/self/status, for example VmRSS, in bytes."""
    match = re.search(rf"^{field}:\s+(\d+) kB", _STATUS.read_text(), re.MULTILINE)
    assert match is not None, f"/proc/self/status has no {field}"
    return int(match[1]) * 1024


def _storage_bytes(tensors: Iterable[Tensor]) -> int:
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(storages.values())
