"""`vigbench run`: measure a suite, keep every record, write the report."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from vigbench.cli import options

Out = Annotated[Path, typer.Option(help="Folder in which the run's folder is made.")]
Resume = Annotated[Path | None, typer.Option(help="Continue this run's folder; measures only what is missing.")]
PlanOnly = Annotated[bool, typer.Option("--plan", help="Print the cases and the estimated time; measure nothing.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="One plain line a case, for logs.")]
NoReport = Annotated[bool, typer.Option("--no-report", help="Leave the HTML report out.")]


def run(
    suite: options.Suite = "",
    device: options.Device = "auto",
    out: Out = Path("results"),
    resume: Resume = None,
    subject: options.Subject = None,
    implementation: options.Implementation = None,
    resolution: options.Resolution = None,
    batch_size: options.BatchSize = None,
    precision: options.Precision = None,
    phase: options.Phase = None,
    compile: options.Compile = None,  # noqa: A002  the axis is called so
    channels_last: options.ChannelsLast = None,
    tf32: options.Tf32 = None,
    threads: options.Threads = None,
    budget: options.Budget = None,
    case_timeout: options.CaseTimeout = None,
    plan_only: PlanOnly = False,
    quiet: Quiet = False,
    no_report: NoReport = False,
) -> int:
    """Measure a suite: one fresh process and one record for each case, then the report.

    Exit codes: 0 done; 1 done, but a case ended in error, crashed or wrong_result; 2 wrong input; 130 interrupted.
    """
    changes = options.overrides(
        subject=subject,
        implementation=implementation,
        resolution=resolution,
        batch_size=batch_size,
        precision=precision,
        phase=phase,
        compile=compile,
        channels_last=channels_last,
        tf32=tf32,
        threads=threads,
        budget=budget,
        case_timeout=case_timeout,
    )
    if resume is not None and (suite or changes.change_cases()):
        raise ValueError(
            "--resume continues the cases of that run; beside it only --budget and --case-timeout can be set."
        )
    if resume is None and not suite:
        raise ValueError("Name a suite: vigbench run --suite resolution-scaling (vigbench list suites shows them all).")

    from vigbench.runner.run import continue_run, plan_suite, resume_plan, start_run

    if plan_only:
        from vigbench.cli.planning import print_plan

        print_plan(resume_plan(resume, changes)[1] if resume is not None else plan_suite(suite, device, changes))
        return 0
    if resume is not None:
        store, planned = resume_plan(resume, changes)
    else:
        store, planned = start_run(suite, out=out, device=device, overrides=changes, command_line=_command_line())

    from vigbench.cli.progress import make_progress

    try:
        with make_progress(quiet) as progress:
            continue_run(store, planned, progress)
    except KeyboardInterrupt:
        print(
            f"Interrupted; nothing measured is lost. Continue with: vigbench run --resume {store.folder}",
            file=sys.stderr,
        )
        return 130
    print(f"Records: {store.folder / 'records.csv'}")
    if not no_report:
        from vigbench.cli.reporting import report_on

        print(f"Report:  {report_on(store.folder)}")
    return 1 if any(record.status in ("error", "crashed", "wrong_result") for record in store.records()) else 0


def _command_line() -> list[str]:
    return ["vigbench", *sys.argv[1:]]
