"""Profiles one case in this process: prepared by the protocol, timed without a profiler, then looked into."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from vigbench.measure.ceilings import Ceilings, device_ceilings
from vigbench.measure.contention import load_of_others
from vigbench.measure.latency import timed
from vigbench.measure.memory import Memory, measure_memory
from vigbench.measure.profile.capture import ProfiledSubject
from vigbench.measure.profile.capture import profile_subject as capture_profile
from vigbench.measure.profile.costs import costs_of
from vigbench.measure.profile.ranges import group_names
from vigbench.measure.profile.words import largest_costs
from vigbench.measure.sampling import Samples, sample
from vigbench.records.profile import ProfileRecord
from vigbench.records.schema import Status
from vigbench.subjects.family import family_of
from vigbench.suites.case import Case
from vigbench.worker.build import apply_case_settings
from vigbench.worker.describe import describe_here
from vigbench.worker.failures import guarded
from vigbench.worker.messages import Outcome
from vigbench.worker.prepare import prepare, prove_path
from vigbench.worker.profile_rows import (
    ProfiledCase,
    cost_rows,
    kernel_rows,
    memory_rows,
    module_rows,
    operator_rows,
    totals_of,
)

WARMUP_BUDGET_S, SAMPLING_BUDGET_S = 20.0, 10.0
OnStage = Callable[[str], None]


def profile_here(case: Case, argument: str, on_stage: OnStage) -> Outcome:
    """Profile a case in this process and write its tables and trace into a folder.

    Args:
        case: inference or training, neither compiled nor a graph: those hide the modules.
        argument: `folder`, `iterations`, `command_line` and `started_at` as JSON.
        on_stage: told what happens now, in a word.
    """
    asked = json.loads(argument)
    folder = Path(asked["folder"])

    def work() -> Outcome:
        done = _profile(case, asked["iterations"], folder / "trace.json.gz", on_stage)
        info = {
            "case": case.model_dump(mode="json"),
            "label": case.label(),
            "family": family_of(case.subject),
            **{name: asked[name] for name in ("iterations", "started_at", "command_line")},
            **describe_here(case),
            **done.info,
        }
        replace(done, info=info).write(folder)
        return Outcome(status=Status.ok)

    return guarded(case, work)


def _profile(case: Case, iterations: int, trace: Path, on_stage: OnStage) -> ProfileRecord:
    on_stage("ceilings")
    apply_case_settings(case)
    precision = case.arithmetic
    ceilings = device_ceilings(torch.device(case.device.value), precision)
    prepared = prepare(case, WARMUP_BUDGET_S, on_stage)
    on_stage("timing")
    load = load_of_others()
    latency = sample(timed(prepared.call, prepared.synchronize), prepared.criterion, SAMPLING_BUDGET_S)
    on_stage("memory")
    memory = measure_memory(prepared.call, prepared.model, list(prepared.inputs.values()))
    on_stage("profile")
    subject = ProfiledSubject(prepared.call, prepared.model, prepared.synchronize, prepared.device)
    profile = capture_profile(subject, iterations, trace)
    load_after = load_of_others()
    prove_path(prepared)
    on_stage("ceilings")
    ceilings = ceilings.best(device_ceilings(prepared.device, precision))
    record = _record(ProfiledCase(prepared, profile, iterations), latency, memory, ceilings, precision)
    record.info["totals"] |= {"other_load": load, "other_load_after": load_after}
    return record


def _record(
    measured: ProfiledCase, latency: Samples, memory: Memory, ceilings: Ceilings, precision: str
) -> ProfileRecord:
    profile, iterations = measured.profile, measured.iterations
    groups = group_names(profile.classes)
    costs = costs_of(profile.times, profile.counts, groups, iterations)
    on_cuda = measured.prepared.case.device == "cuda"
    info = {
        "ceilings": {
            "precision": precision,
            "copy_gb_per_s": ceilings.copy_gb_per_s,
            "product_tflop_per_s": ceilings.product_tflop_per_s,
            "slow": list(ceilings.slow),
            "special_g_per_s": ceilings.special_g_per_s,
        },
        "totals": totals_of(measured, latency, memory),
        "words": largest_costs(costs, ceilings, precision, on_cuda=on_cuda),
    }
    return ProfileRecord(
        info=info,
        modules=module_rows(profile, groups, iterations),
        operators=operator_rows(profile, iterations),
        costs=cost_rows(costs, ceilings, precision),
        kernels=kernel_rows(profile, iterations),
        memory=memory_rows(profile, memory.weights + memory.inputs),
    )
