"""Calls that repeat: what does not change between them is worked out once, so that the host keeps up with a GPU.

The first call with tensors of certain shapes, strides, dtypes and alignments is traced (`launch_trace.py`): what it
allocates, and which addresses and numbers each kernel gets. Another such call allocates, puts addresses where they
belong and starts the compiled kernels, and nothing else. What cannot be traced runs as it is written.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import torch
import triton
from torch import Tensor
from triton.runtime.jit import JITFunction

from vigbench.ops import kernel_launch
from vigbench.ops.launch_arguments import Arguments
from vigbench.ops.launch_trace import NotTraceableError, Trace

DEVICES = ("cuda",)  # elsewhere kernels are interpreted, or only compiled
LIMIT = 1024  # plans of one function; then they are made anew
ALIGNMENT = 16  # bytes: Triton compiles one kernel for pointers that are multiples of it, another one for others

Result = TypeVar("Result", Tensor, list[Tensor])


def planned(function: Callable[..., Result]) -> Callable[..., Result]:
    """`function`, at a fraction of the time on the host where a call repeats.

    Its arguments are tensors, the first one among them, and hashable values. It may not look at a tensor's elements or
    device; where it does more than to allocate with `torch.empty`, to take views and to launch, it is not sped up.
    """
    plans: dict[tuple[Any, ...], LaunchPlan | None] = {}

    @wraps(function)
    def run(*given: Any) -> Any:
        if given[0].device.type not in DEVICES:
            return function(*given)
        addresses = []
        key: list[Any] = [triton.runtime.driver.active]  # compiled kernels are those of one driver
        for x in given:
            if isinstance(x, Tensor):
                address = x.data_ptr()
                addresses.append(address)
                key += (x.shape, x.stride(), x.dtype, x.device, address % ALIGNMENT)
            else:
                key.append(x)
        signature = tuple(key)
        if signature not in plans:
            if len(plans) >= LIMIT:
                plans.clear()
            plans[signature] = _plan(function, given)
        plan = plans.get(signature)
        return function(*given) if plan is None else plan.run(addresses)

    return run


class LaunchPlan:
    """A traced call, ready to be repeated."""

    def __init__(self, trace: Trace, device: torch.device) -> None:
        self.trace, self.device = trace, device
        self.arguments = Arguments(trace)
        self.starters: list[Callable[..., None]] = []  # of the launches, once their kernels are compiled

    def run(self, addresses: list[int]) -> Tensor | list[Tensor]:
        """What the function returns, from the addresses of the tensors given."""
        trace, device = self.trace, self.device
        results = [torch.empty_strided(x.shape, x.strides, dtype=x.dtype, device=device) for x in trace.results]
        addresses += [x.data_ptr() for x in results]
        if trace.working_bytes:  # free again on return: whatever uses it next is queued behind these launches
            working = torch.empty_strided((trace.working_bytes,), (1,), dtype=torch.uint8, device=device)
            addresses.append(working.data_ptr())
        driver = triton.runtime.driver.active
        if device.index is None or device.index == driver.get_current_device():
            self._start(addresses, driver)
        else:
            with torch.cuda.device(device):
                self._start(addresses, driver)
        return results[0] if trace.single else results

    def _start(self, addresses: list[int], driver: Any) -> None:
        if not self.starters:
            self._compile_and_start(addresses)
            return
        stream = driver.get_current_stream(self.device.index)
        for start, args in zip(self.starters, self.arguments.of_compiled(addresses), strict=True):
            start(*args, stream=stream)

    def _compile_and_start(self, addresses: list[int]) -> None:
        compiled = []
        for kernel, grid, args, constants, warps, stages in self.trace.launches:
            typed = self.arguments.typed(args, addresses)
            compiled.append(kernel_launch.launch_kernel(kernel, grid, self.device, typed, constants, warps, stages))
        if None not in compiled:  # a hook of Triton's may keep a kernel from being compiled
            self.starters = [kernel[launch.grid] for kernel, launch in zip(compiled, self.trace.launches, strict=True)]


def _plan(function: Callable[..., Any], given: tuple[Any, ...]) -> LaunchPlan | None:
    """None where calls like this one have to run as they are written."""
    devices = {x.device for x in given if isinstance(x, Tensor)}
    if len(devices) > 1 or triton.runtime.driver.active.get_current_target().backend != "cuda":
        return None  # let Triton name the wrong tensor; AMD's compiler also wants to know sizes
    try:
        trace = Trace(function, given)
    except NotTraceableError:
        return None
    if not all(isinstance(launch.kernel, JITFunction) for launch in trace.launches):
        return None  # the interpreter compiles nothing
    return LaunchPlan(trace, devices.pop())
