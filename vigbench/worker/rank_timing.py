"""Timing of several ranks: each iteration starts behind a barrier, and takes as long as the slowest rank."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import torch

from vigbench.measure.allocation import allocation_here
from vigbench.measure.contention import Throttling, load_of_others, workload_rate
from vigbench.measure.device_state import StateRecorder
from vigbench.measure.energy import Energy
from vigbench.measure.latency import Timing, between_samples, timed
from vigbench.measure.sampling import Criterion, sample
from vigbench.measure.waiting import waiting_here
from vigbench.worker.observe import CallTiming
from vigbench.worker.rank_group import Team

NO_ENERGY = Energy(None, "not measured over several ranks")


def measure_together(
    team: Team, call: Callable[[], Any], synchronize: Callable[[], None], criterion: Criterion, budget_s: float
) -> CallTiming | None:
    """Sample until rank 0 has enough, between two looks at who else uses the machine; None on the other ranks.

    Throughput is that of these synchronised iterations: none is queued behind another.

    Args:
        team: the ranks, all of which call this.
        call: one iteration of this rank.
        synchronize: returns when its device has finished.
        criterion: the protocol's parameters.
        budget_s: seconds of sampling.
    """
    gc.collect()
    synchronize()
    return team.first_decides(
        lambda together: _sampled(together, team.device, criterion, budget_s), timed(call, synchronize)
    )


def _sampled(together: Callable[[], float], device: torch.device, criterion: Criterion, budget_s: float) -> CallTiming:
    recorder, threads = StateRecorder(device), torch.get_num_threads()
    load_before, rate_before = load_of_others(), workload_rate(device)  # the other ranks wait meanwhile
    throttling = Throttling(1 if device.type == "cuda" else threads)
    on_block = recorder.read if recorder.available else None
    samples = sample(between_samples(together, on_block), criterion, budget_s)
    stopped_share = throttling.share()
    return CallTiming(
        timing=Timing(samples, samples, 1),
        kernel=None,
        energy=NO_ENERGY,
        state=recorder.summary(),
        series=recorder.series(),
        load_before=load_before,
        load_after=load_of_others(),
        gpu_others=None,  # the other ranks cannot be told from them
        rate_drop=max(0.0, 1 - workload_rate(device) / rate_before),
        stopped_share=stopped_share,
        unverified=False,
        waiting=waiting_here() if device.type == "cpu" and threads > 1 else "",
        allocation="" if device.type == "cuda" else allocation_here(),
    )
