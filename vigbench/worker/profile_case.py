"""Profiles one case in this process: prepared by the protocol, timed without a profiler, then looked into."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, replace
from datetime import UTC, datetime
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
from vigbench.records.files import new_folder, starting_in
from vigbench.records.profile import ProfileRecord
from vigbench.records.schema import Status
from vigbench.subjects.family import family_of
from vigbench.suites.axes import Phase
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


@dataclass(frozen=True)
class SubjectProfile:
    """Where the time and the memory of a subject go.

    Attributes:
        folder: where the tables and the trace are.
        record: what they hold; `record.info["words"]` are the largest costs in sentences.
    """

    folder: Path
    record: ProfileRecord


def profile_subject(
    case: Case,
    *,
    iterations: int = 5,
    out: str | Path = "results",
    command_line: Sequence[str] = (),
    on_stage: OnStage = lambda _: None,
) -> SubjectProfile:
    """Profile a case and write its folder, but for the pictures (`vigbench.plot_profile`).

    It runs in this process, whose threads, TF32 and seed it sets.

    Args:
        case: inference or training, neither compiled nor a graph: those hide the modules. See `vigbench.create_case`.
        iterations: profiled ones, at least 1.
        out: gets the folder `profile-<subject>-<size>-<device>-<time>`.
        command_line: for the record, what was typed.
        on_stage: told what happens now, in a word.

    Raises:
        ValueError: if it cannot be profiled or written, with the reason; nothing is left then.
    """
    out = Path(out)
    if case.compile or case.cuda_graph or case.phase is Phase.training_step:
        raise ValueError(
            "A profile is of phase inference or training, neither compiled nor a graph, which hide the modules."
        )
    started = datetime.now(UTC)
    with _new_folder(case, out, started) as folder:
        done: list[ProfileRecord] = []

        def work() -> Outcome:
            done.append(_profile(case, iterations, folder / "trace.json.gz", on_stage))
            return Outcome(status=Status.ok)

        said = io.StringIO()
        with redirect_stderr(said):  # a failure's traceback: its reason comes as one line
            outcome = guarded(case, work)
        if outcome.status is not Status.ok:
            raise ValueError(f"{case.label()} cannot be profiled: {outcome.reason}")
        info = {
            "case": case.model_dump(mode="json"),
            "label": case.label(),
            "family": family_of(case.subject),
            "iterations": iterations,
            "started_at": started.isoformat(timespec="seconds"),
            "command_line": list(command_line),
            **describe_here(case),
            **done[0].info,
        }
        record = replace(done[0], info=info)
        with starting_in(out):
            record.write(folder)
    return SubjectProfile(folder, record)


@contextmanager
def _new_folder(case: Case, out: Path, now: datetime) -> Iterator[Path]:
    """A new folder, gone again if what happens inside fails."""
    subject = re.sub(r"[^A-Za-z0-9_.-]+", "-", case.subject).strip("-.") or "subject"
    with starting_in(out):
        folder = new_folder(
            out, f"profile-{subject[:80]}-{case.resolution or case.length}-{case.device}-{now:%Y%m%d-%H%M%S}"
        )
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


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
