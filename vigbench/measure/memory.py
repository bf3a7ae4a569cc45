"""Memory of one iteration: weights, inputs and activations apart; allocator peak and process peak both."""

from __future__ import annotations

import ctypes
import gc
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity

from vigbench.measure.path import events_of, one_profile

MIB = 2**20
_OUT_OF_MEMORY = ("can't allocate memory", "out of memory", "status_alloc_failed")

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Memory:
    """Bytes; None where this device or system has no source for the number.

    Attributes:
        weights: parameters and buffers, shared storage once.
        inputs: the input batch.
        peak: allocator peak during the iteration, weights, inputs and `kept` included.
        reserved: CUDA: held by the caching allocator at the peak.
        slack: CUDA: what of it was not in use: kept for later, or lost to fragmentation.
        process_peak: resident memory of the whole process on the host at its peak during one iteration.
        process_growth: resident memory gained from before that iteration to its peak, without pages of files.
    """

    weights: int
    inputs: int
    peak: int
    reserved: int | None = None
    slack: int | None = None
    process_peak: int | None = None
    process_growth: int | None = None
    kept: int = 0  # what else stays from one iteration to the next: an optimiser's state

    @property
    def activations(self) -> int:
        """Everything the iteration itself allocates at its worst moment; gradients included when it trains."""
        return self.peak - self.weights - self.inputs - self.kept


def measure_memory(
    call: Callable[[], object], model: nn.Module, inputs: Sequence[Tensor], kept: Iterable[Tensor] = ()
) -> Memory:
    """Peak memory of one iteration on the device of `inputs`. Leaves `model` without gradients, or with new ones.

    Args:
        call: one iteration, not a replay of a CUDA graph: a graph owns its memory, and a replay allocates nothing. It
            must free what it allocates when its result is dropped.
        model: its parameters and buffers are the weights.
        inputs: of the whole batch; at least one.
        kept: what else lies there from one iteration to the next.
    """
    weights = storage_bytes(chain(model.parameters(), model.buffers()))
    input_bytes, kept_bytes = storage_bytes(inputs), storage_bytes(kept)
    _drop_gradients(model, inputs)  # else freeing an earlier iteration's gradients would hide this one's
    with without_collection():  # likewise garbage of earlier stages
        if inputs[0].device.type == "cuda":
            return _measure_cuda(call, weights, input_bytes, kept_bytes)
        peak, growth = process_peak(call)
        _drop_gradients(model, inputs)
        return Memory(
            weights=weights,
            inputs=input_bytes,
            peak=weights + input_bytes + kept_bytes + cpu_allocator_peak(call),
            process_peak=peak,
            process_growth=growth,
            kept=kept_bytes,
        )


def _drop_gradients(model: nn.Module, inputs: Sequence[Tensor]) -> None:
    model.zero_grad(set_to_none=True)
    for tensor in inputs:
        tensor.grad = None


def _measure_cuda(call: Callable[[], object], weights: int, inputs: int, kept: int) -> Memory:
    torch.cuda.synchronize()
    torch.cuda.empty_cache()  # so that `reserved` shows this iteration, not the warm-up
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()  # beside weights, inputs and `kept`, what libraries keep from the warm-up

    def call_to_its_end() -> None:
        call()
        torch.cuda.synchronize()

    host_peak, host_growth = process_peak(call_to_its_end)
    allocated, reserved = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
    return Memory(
        weights=weights,
        inputs=inputs,
        peak=weights + inputs + kept + allocated - before,
        reserved=reserved,
        slack=reserved - allocated,
        process_peak=host_peak,
        process_growth=host_growth,
        kept=kept,
    )


@contextmanager
def without_collection() -> Iterator[None]:
    """Collect garbage now, and not inside: freeing a cycle there would disturb a measurement, or break a capture."""
    gc.collect()
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed for lack of memory, on a GPU or a CPU (which has no exception type of its own)."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # the CPU's allocator, and whatever allocates on a GPU beside torch's: the driver, Triton, cuBLAS
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _OUT_OF_MEMORY)


def cpu_allocator_peak(call: Callable[[], object]) -> int:
    """Largest sum of live bytes that torch's CPU allocator handed out during `call`, exact to the byte."""
    with one_profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        result = call()
    del result
    live = peak = 0
    for event in _memory_events(profiler):
        live += event.nbytes()
        peak = max(peak, live)
    return peak


def _memory_events(profiler: Any) -> list[Any]:
    # The public event list adds allocations up by operator, which loses the moment of the peak.
    return sorted(filter(is_cpu_allocation, events_of(profiler)), key=lambda event: event.start_ns())


def is_cpu_allocation(event: Any) -> bool:
    """Whether a profiler's raw event is an allocation on the CPU, or the end of one: `nbytes()` is negative then."""
    name: str = event.name()
    return name == "[memory]" and event.device_type().name == "CPU"


def storage_bytes(tensors: Iterable[Tensor]) -> int:
    """Bytes of the storages behind these tensors, each storage once."""
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(storages.values())


def process_peak(call: Callable[[], object]) -> tuple[int | None, int | None]:
    """Resident bytes at the peak of `call`, and its growth since just before; None where Linux's /proc is missing.

    The growth leaves pages of files out: how many of torch's libraries are mapped depends on what the system's page
    cache holds, thus on other processes, and not on what `call` allocates.
    """
    try:
        _trim_heap()  # else memory that malloc kept from the warm-up would hide a growth
        _CLEAR_REFS.write_text("5", encoding="utf-8")  # resets the high-water mark of resident memory
    except OSError:
        return None, None
    before, files_before = status_bytes("VmRSS"), status_bytes("RssFile")
    result = call()
    peak, files_gained = status_bytes("VmHWM"), status_bytes("RssFile") - files_before
    del result
    return peak, max(0, peak - before - files_gained)


def process_peak_source() -> str:
    """Where the process peak comes from on this machine, or why there is none."""
    return "/proc/self/clear_refs" if _CLEAR_REFS.exists() else "not available: needs Linux's /proc"


def status_bytes(field: str) -> int:
    """A size of this process from Linux's /proc/self/status, for example VmRSS, in bytes."""
    match = re.search(rf"^{field}:\s+(\d+) kB", _STATUS.read_text(encoding="utf-8"), re.MULTILINE)
    assert match is not None, f"/proc/self/status has no {field}"
    return int(match[1]) * 1024


def _trim_heap() -> None:
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc only
        if trim is not None:
            trim(0)
