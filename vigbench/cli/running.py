"""`vigbench run`: measure a suite, keep every record, write the report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from vigbench.cli import options
from vigbench.cli.axes import AxisValues, several_values
from vigbench.cli.measuring import command_line, measure
from vigbench.cli.stage_times import time_spent
from vigbench.tabulate import aligned

if TYPE_CHECKING:
    from vigbench.records.schema import Record
    from vigbench.records.store import RunStore

Out = Annotated[Path, typer.Option(help="Folder in which the run's folder is made.")]
Resume = Annotated[Path | None, typer.Option(help="Continue this run's folder; measures only what is missing.")]
PlanOnly = Annotated[bool, typer.Option("--plan", help="Print the cases and the estimated time; measure nothing.")]
MaxBatch = Annotated[
    bool, typer.Option("--max-batch", help="Also find the largest batch that fits, by bisection in fresh processes.")
]
MemoryLimit = Annotated[
    str | None, typer.Option(help="With --max-batch: memory to fit into, e.g. 8GiB; default: the device's.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="One plain line a case, for logs.")]
NoReport = Annotated[bool, typer.Option("--no-report", help="Leave the HTML report out.")]


@several_values
def run(
    suite: options.Suite = "",
    device: options.Device = "auto",
    out: Out = Path("results"),
    resume: Resume = None,
    subject: options.Subject = None,
    implementation: options.Implementation = None,
    axes: AxisValues = None,
    threads: options.Threads = None,
    processes: options.Processes = None,
    calibrate: options.Calibrate = None,
    budget: options.Budget = None,
    case_timeout: options.CaseTimeout = None,
    max_batch: MaxBatch = False,
    memory_limit: MemoryLimit = None,
    plan_only: PlanOnly = False,
    quiet: Quiet = False,
    no_report: NoReport = False,
) -> int:
    """Measure a suite, or the subjects named: one fresh process and one record for each case, then the report.

    Without --suite: 224 px, batch 1, float32, inference, at most 5 minutes, where no option says otherwise.

    Exit codes: 0 done; 1 done, but a case ended in error, crashed or wrong_result; 2 wrong input; 130 interrupted.
    """
    changes = options.overrides(
        subject=subject,
        implementation=implementation,
        axes=axes or {},
        threads=threads,
        processes=processes,
        calibrate=calibrate,
        budget=budget,
        case_timeout=case_timeout,
    )
    elsewhere = device != "auto" or out != Path("results")
    if resume is not None and (suite or elsewhere or changes.change_cases()):
        raise ValueError(
            "--resume continues the cases of that run where they are; beside it only --budget, --case-timeout and "
            "--max-batch can be set."
        )
    if memory_limit is not None and not max_batch:
        raise ValueError("--memory-limit belongs to --max-batch; add that.")
    limit_mib = None if memory_limit is None else options.memory_mib("--memory-limit", memory_limit)
    if resume is None:
        options.require_subjects("run", suite, subject)
    if not plan_only:
        from vigbench.runner import fork_server

        fork_server.start()  # it imports torch while this process does

    from vigbench.records.schema import FAULTS
    from vigbench.runner.max_batch import BatchLimits
    from vigbench.runner.run import plan_suite, resume_plan, start_run

    if plan_only:
        from vigbench.cli.planning import print_plan

        print_plan(resume_plan(resume, changes)[1] if resume is not None else plan_suite(suite, device, changes))
        return 0
    if resume is not None:
        store, planned = resume_plan(resume, changes)
    else:
        store, planned = start_run(suite, out=out, device=device, overrides=changes, command_line=command_line())
    limits = BatchLimits(limit_mib, planned.case_timeout_s) if max_batch else None
    if not measure(store, planned, quiet, limits=limits, options=_again(max_batch, memory_limit)):
        return 130
    if max_batch:
        print_largest_batches(store.records())
    if spent := time_spent(store.records()):
        print(spent)
    print_disturbances(store)
    print(f"Records: {store.folder / 'records.csv'}")
    if not no_report:
        from vigbench.report.of_runs import write_report

        print(f"Report:  {write_report(store.folder)}")
    return 1 if any(record.status in FAULTS for record in store.records()) else 0


def _again(max_batch: bool, memory_limit: str | None) -> str:
    return (" --max-batch" if max_batch else "") + (f" --memory-limit {quote(memory_limit)}" if memory_limit else "")


def print_disturbances(store: RunStore) -> None:
    """What keeps the run's numbers from carrying conclusions, and what to do; nothing where nothing does."""
    from vigbench.analysis.disturbance_text import disturbances
    from vigbench.records.load import frame_of_run

    for line in disturbances(frame_of_run(store)):
        print(line)


def print_largest_batches(records: Sequence[Record]) -> None:
    """The table of the largest batches that fit: a line for each series, a column for each size."""
    found = {
        (_label(record), record.case.extent_text): record.metrics.largest_batch
        for record in sorted(records, key=lambda record: record.case.extent)
        if record.metrics.largest_batch is not None
    }
    sizes = list(dict.fromkeys(size for _, size in found))
    heads = ("", *sizes)
    labels = dict.fromkeys(label for label in map(_label, records) if any((label, size) in found for size in sizes))
    rows = [(label, *(str(found.get((label, size), "")) for size in sizes)) for label in labels]
    print("Largest batch that fits")
    print(aligned([heads, *rows], right=range(1, len(heads))))


def _label(record: Record) -> str:
    return record.case.label_without_size()
