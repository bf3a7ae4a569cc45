"""What is measured of a prepared case: what a call holds, what it takes, and what it runs."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from typing import Any

import torch

from vigbench.measure.allocation import allocation_here
from vigbench.measure.contention import (
    CONTENDED_DROP,
    CONTENDED_LOAD,
    Throttling,
    calibration_workload,
    load_of_others,
    workload_rate,
)
from vigbench.measure.device_state import DeviceState, StateRecorder
from vigbench.measure.device_time import KernelTime, measure_kernel_time
from vigbench.measure.energy import Energy, find_meter, measure_energy
from vigbench.measure.gradient_memory import GradientMemory, measure_gradients
from vigbench.measure.latency import Timing, block_of, measure_timing, timed
from vigbench.measure.launch import DeviceWork, profile_device
from vigbench.measure.memory import Memory, measure_memory
from vigbench.measure.path import ExecutedPath
from vigbench.measure.saved_tensors import saved_for_backward
from vigbench.measure.waiting import waiting_here
from vigbench.worker.build import runnable
from vigbench.worker.prepare import Prepared, call_to_time, prove_path

KERNEL_SHARE = 0.3  # of the sampling budget on CUDA, for the device's own time


@dataclass(frozen=True)
class CallMemory:
    """What a call holds, in bytes."""

    memory: Memory
    saved_for_backward: int | None
    gradients: GradientMemory | None  # of a training step


@dataclass(frozen=True)
class CallTiming:
    """What a call takes, and what went on around it.

    Attributes:
        unverified: whether what was timed could not be compared with the plain model.
        load_before, load_after: share of the time of the cores at hand that others used, 0 to 1.
        gpu_others: other processes on the GPU, the most seen; None where unknown.
        waiting: how the threads of this process wait for each other; empty for a single one.
        allocation: what the allocator of the host's memory was told; empty: nothing.
        rate_drop: drop of a fixed matrix product's rate from before to after, 0 to 1.
        stopped_share: of the threads' time, for which a control group's quota stopped them, 0 to 1.
    """

    timing: Timing
    kernel: KernelTime | None
    energy: Energy
    state: DeviceState
    series: dict[str, tuple[float, ...]]
    load_before: float
    load_after: float
    gpu_others: int | None
    rate_drop: float
    stopped_share: float
    unverified: bool
    waiting: str = ""
    allocation: str = ""

    @property
    def contended(self) -> bool:
        """Whether others used the machine, or a quota stopped this process, enough to change a number."""
        load, lost = max(self.load_before, self.load_after), max(self.rate_drop, self.stopped_share)
        return lost > CONTENDED_DROP or load > CONTENDED_LOAD or bool(self.gpu_others)


@dataclass(frozen=True)
class CallExecution:
    """What a call ran: its operators and kernels, and on CUDA how long those took."""

    path: ExecutedPath
    work: DeviceWork | None


def measure_call_memory(prepared: Prepared) -> CallMemory:
    """Memory of one plain call: a replayed graph owns its memory and allocates nothing."""
    case, step = prepared.case, prepared.step
    kept = step.optimizer_state() if step is not None else []
    inputs = list(prepared.inputs.values())
    memory = measure_memory(prepared.call, prepared.model, inputs, kept)
    gradients = measure_gradients(prepared.call, prepared.model, prepared.device) if step is not None else None
    saved = None
    if case.phase.trains:
        run, task = runnable(prepared.model, case), prepared.task

        def forward() -> Any:
            return task.start_of_backward(task.call(run, prepared.inputs), prepared.inputs)

        saved = saved_for_backward(forward, prepared.model, inputs)
    if prepared.device.type == "cuda":
        prepared.call()  # refills the allocator's cache, which the memory pass empties
    return CallMemory(memory, saved, gradients)


def measure_call_timing(prepared: Prepared, budget_s: float, calibrate: bool) -> CallTiming:
    """Latency and throughput, then the device's own time and energy, between two looks at who else is there.

    Args:
        budget_s: seconds of sampling.
        calibrate: whether a fixed workload takes turns with the case.
    """
    case, synchronize, device = prepared.case, prepared.synchronize, prepared.device
    on_cuda = device.type == "cuda"
    call, verified = call_to_time(prepared)
    recorder, meter = StateRecorder(device), find_meter(device)
    gc.collect()  # a profiler holds its events in a cycle: the calls' memory would lie between them, and be read slower
    synchronize()
    others_before = recorder.other_processes()
    load_before = load_of_others()
    rate_before = workload_rate(device)
    throttling = Throttling(1 if on_cuda else torch.get_num_threads())
    on_block = recorder.read if recorder.available else None
    timing = measure_timing(
        call,
        synchronize,
        queued=on_cuda,
        criterion=prepared.criterion,
        budget_s=budget_s * (1 - KERNEL_SHARE if on_cuda else 1.0),
        on_block=on_block,
        calibration=timed(calibration_workload(device), synchronize) if calibrate else None,
    )
    kernel = None
    if on_cuda:
        kernel = measure_kernel_time(call, device, prepared.criterion, KERNEL_SHARE * budget_s, on_block)
    calls = timing.calls_per_block
    stopped_share = throttling.share()
    energy = measure_energy(meter, timed(block_of(call, calls), synchronize), prepared.task.items(case) * calls)
    rate_drop = max(0.0, 1 - workload_rate(device) / rate_before)
    others = [count for count in (others_before, recorder.other_processes()) if count is not None]
    return CallTiming(
        timing=timing,
        kernel=kernel,
        energy=energy,
        state=recorder.summary(),
        series=recorder.series(),
        load_before=load_before,
        load_after=load_of_others(),
        gpu_others=max(others, default=None),
        rate_drop=rate_drop,
        stopped_share=stopped_share,
        unverified=not verified,
        waiting=waiting_here() if not on_cuda and torch.get_num_threads() > 1 else "",
        allocation="" if on_cuda else allocation_here(),
    )


def look_inside(prepared: Prepared) -> CallExecution:
    """What one plain call runs. Last: a CUDA profiler leaves hooks in the process that slow later launches down.

    Raises:
        WrongResultError: if it is not what the label names.
    """
    device = prepared.device
    path = prove_path(prepared)
    return CallExecution(path, profile_device(prepared.call, device) if device.type == "cuda" else None)
