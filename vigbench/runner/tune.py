"""Finds the fastest settings of the Triton kernels for this GPU; a measured case only looks them up."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from time import monotonic
from typing import NamedTuple

import torch

from vigbench.ops.capability import capability_of
from vigbench.ops.gla.kernels.settings import GlaSettings
from vigbench.runner.check import carrier
from vigbench.runner.process import Worker, WorkerEndedError
from vigbench.suites.axes import Device
from vigbench.worker.messages import BlockRequest, Durations, Errand, Job, Outcome
from vigbench.worker.workload import Workload

# Values tried for each setting, one setting at a time: together they would be 100,000 combinations.
CHOICES: dict[str, tuple[int, ...]] = {
    "chunk": (16, 32, 64, 128),
    "warps": (2, 4, 8, 16),
    "segment": (2, 4, 8, 16, 32, 256),
    "states_warps": (2, 4, 8),
    "states_stages": (1, 2, 3, 4),
    "value_block": (16, 32, 64, 128),
    "key_block": (16, 32, 64),
    "stages": (1, 2, 3),
    "walk": (False, True),
}
GAIN = 0.98  # of the best time so far, or noise would decide
TIMEOUT_S = 120.0  # for one candidate, compiling and a first process included

Seconds = Callable[[GlaSettings], float | None]
"""Device seconds of a call with these settings; None where they do not run, or give a wrong result."""


class Found(NamedTuple):
    """The fastest settings of a workload; seconds of a call with the default ones, and with these."""

    settings: GlaSettings
    default_s: float
    best_s: float
    tried: int


def descend(
    starts: Sequence[GlaSettings], seconds: Seconds, allowed: Callable[[GlaSettings], bool] = lambda _: True
) -> Found | None:
    """Change one setting at a time of the fastest start, as long as that helps; None where the first does not run.

    Args:
        starts: settings to begin from, the default ones first.
        seconds: what to minimise; asked once for each candidate.
        allowed: what may be tried at all.
    """
    times = {start: seconds(start) for start in starts}
    first = times[starts[0]]
    if first is None:
        return None
    best, best_s = starts[0], first
    for start, taken in times.items():
        if taken is not None and taken < GAIN * best_s:
            best, best_s = start, taken
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


def _neighbours(settings: GlaSettings) -> Iterator[GlaSettings]:
    for name, values in CHOICES.items():
        for value in values:
            if value != getattr(settings, name):
                yield GlaSettings(**settings._asdict() | {name: value})


def tune(workloads: Iterable[Workload], device: torch.device) -> Iterator[tuple[Workload, Found | None]]:
    """Each workload with what was found for it, as soon as it is; None where the default settings do not run.

    Raises:
        ValueError: if `device` is not a CUDA device: times elsewhere would say nothing about it.
    """
    if device.type != "cuda":
        raise ValueError("Kernels are tuned on the GPU that will run them: there is no CUDA device here.")
    capability = capability_of(device)
    for workload in workloads:
        with IsolatedTrial(workload, Device(device.type)) as trial:
            starts, allowed = workload.starts(capability), partial(workload.allows, capability)
            yield workload, descend(starts, trial.seconds, allowed)


class IsolatedTrial:
    """Tries settings in a process of its own: those that break the device end that process, not the search.

    Attributes:
        crashed: settings that ended a process, and how.
    """

    def __init__(self, workload: Workload, device: Device) -> None:
        self._job = Job(case=carrier(device), errand=Errand.trial, argument=json.dumps(asdict(workload)))
        self._worker: Worker | None = None
        self.crashed: dict[GlaSettings, str] = {}

    def __enter__(self) -> IsolatedTrial:
        return self

    def __exit__(self, *error: object) -> None:
        self._end()

    def seconds(self, settings: GlaSettings) -> float | None:
        """Median device seconds of one call; None where it does not run, is wrong or ends its process."""
        try:
            worker = self._started()
            worker.send(BlockRequest(calls=1, argument=json.dumps(settings._asdict())))
            answer = worker.receive(monotonic() + TIMEOUT_S)
        except (WorkerEndedError, TimeoutError) as error:
            self._crash(settings, str(error) or f"no answer within {TIMEOUT_S:.0f} s")
            return None
        if isinstance(answer, Outcome):
            self._crash(settings, answer.reason)
            return None
        assert isinstance(answer, Durations)
        return answer.seconds[0] if answer.seconds else None

    def _started(self) -> Worker:
        if self._worker is None:
            self._worker = Worker(self._job)
            answer = self._worker.receive(monotonic() + TIMEOUT_S)
            if isinstance(answer, Outcome):
                raise WorkerEndedError(answer.reason)
        return self._worker

    def _crash(self, settings: GlaSettings, reason: str) -> None:
        self.crashed[settings] = reason
        self._end()

    def _end(self) -> None:
        if self._worker is not None:
            self._worker.close()
            self._worker = None
