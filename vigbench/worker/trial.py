"""Kernel settings on command, each compiled, checked against the reference and timed."""

from __future__ import annotations

import json
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from triton.runtime.errors import TritonError

from vigbench.measure.correctness import relative_error
from vigbench.measure.device_time import measure_kernel_time
from vigbench.measure.sampling import criterion_for
from vigbench.ops.gla.kernels import launch
from vigbench.ops.gla.kernels.launch import log_decay_gates
from vigbench.ops.gla.kernels.settings import GlaSettings
from vigbench.ops.gla.reference import reference
from vigbench.ops.registry import get_operator
from vigbench.records.schema import Status
from vigbench.subjects.task import DTYPES, SEED
from vigbench.suites.case import Case
from vigbench.worker.failures import guarded
from vigbench.worker.messages import BlockRequest, Durations, Message, Outcome, Ready
from vigbench.worker.workload import Workload

SECONDS_EACH = 0.3  # of sampling, for one candidate
CHECKED_TOKENS = 512  # the reference goes token by token


def try_settings(
    case: Case, argument: str, say: Callable[[Message], None], next_block: Callable[[], BlockRequest]
) -> None:
    """Say `Ready`, then the seconds of each settings asked for, none where they do not run or are wrong.

    Args:
        case: its device is used.
        argument: the workload, as JSON.
        say, next_block: to and from the search.
    """

    def take_orders() -> Outcome:
        trial = Trial(Workload(**json.loads(argument)), torch.device(case.device.value))
        say(Ready(call_s=0.0))
        while (block := next_block()).calls:
            seconds = trial.seconds(GlaSettings(**json.loads(block.argument)))
            say(Durations(seconds=() if seconds is None else (seconds,)))
        return Outcome(status=Status.ok)

    say(guarded(case, take_orders))


class Trial:
    """Runs a workload's pass with any settings, checks it against the reference and times it."""

    def __init__(self, workload: Workload, device: torch.device) -> None:
        self.workload, self.device = workload, device
        self.inputs = _inputs(workload, device)
        self.short = [x[:1, :CHECKED_TOKENS] for x in self.inputs]
        self.expected = self._defined()

    def seconds(self, settings: GlaSettings) -> float | None:
        """Median device seconds of one call, None where it fails or is wrong."""
        try:
            errors = [relative_error(x, y) for x, y in zip(self.run(self.short, settings), self.expected, strict=True)]
            if not max(errors) <= get_operator("gla").tolerance[self.workload.precision]:
                return None
            criterion = criterion_for(self.device.type)
            call = lambda: self.run(self.inputs, settings)  # noqa: E731
            time = measure_kernel_time(call, self.device, criterion, SECONDS_EACH)
        except TritonError:  # it does not compile, or asks for more than the GPU has
            return None
        return None if time is None else time.samples.interval().median

    def run(self, inputs: list[Tensor], settings: GlaSettings) -> list[Tensor]:
        """The pass with these settings: the output, or all gradients."""
        q, k, v, g_fwd, g_bwd, grad = inputs
        gates = log_decay_gates(g_fwd, g_bwd)
        if self.workload.pass_ == "forward":
            return [launch.forward(q, k, v, gates, 1.0, settings)]
        return launch.backward(grad, q, k, v, gates, 1.0, settings)

    def _defined(self) -> list[Tensor]:
        q, k, v, g_fwd, g_bwd, grad = [x.detach().float() for x in self.short]
        if self.workload.pass_ == "forward":
            return [reference(q, k, v, g_fwd, g_bwd, 1.0)]
        leaves = [x.requires_grad_() for x in (q, k, v, g_fwd, g_bwd)]
        return list(torch.autograd.grad(reference(q, k, v, g_fwd, g_bwd, 1.0), leaves, grad))


def _inputs(workload: Workload, device: torch.device) -> list[Tensor]:
    """q, k, v, both log-decays as in ViG, and the output's gradient, with the strides of ViG's projections."""
    generator = torch.Generator(device).manual_seed(SEED)
    heads, key, value = workload.heads, workload.key_dim, workload.value_dim
    widths = [heads * dim for dim in (key, key, value)]

    def normal(width: int) -> Tensor:
        return torch.randn(workload.batch_size, workload.length, width, generator=generator, device=device)

    dtype = DTYPES[workload.precision]
    projected = [x.unflatten(-1, (heads, -1)) for x in normal(sum(widths)).to(dtype).split(widths, -1)]
    gates = (F.logsigmoid(normal(2 * heads * key)) / 16).to(dtype).unflatten(-1, (2, heads, key)).unbind(2)
    return [*projected, *gates, normal(heads * value).to(dtype).unflatten(-1, (heads, -1))]
