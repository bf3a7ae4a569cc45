"""`vigbench plan`: the cases of a suite and the time they will take; measures nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vigbench.cli import options
from vigbench.cli.axes import AxisValues, several_values
from vigbench.tabulate import aligned

if TYPE_CHECKING:
    from vigbench.suites.planner import Plan


@several_values
def plan(
    suite: options.Suite = "",
    device: options.Device = "auto",
    subject: options.Subject = None,
    implementation: options.Implementation = None,
    axes: AxisValues = None,
    threads: options.Threads = None,
    processes: options.Processes = None,
    calibrate: options.Calibrate = None,
    budget: options.Budget = None,
    case_timeout: options.CaseTimeout = None,
) -> None:
    """Print the cases of a suite, or of the subjects named, and the time; measure nothing (the same as run --plan)."""
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
    options.require_subjects("plan", suite, subject)
    from vigbench.runner.run import plan_suite

    print_plan(plan_suite(suite, device, changes))


def print_plan(planned: Plan) -> None:
    """One line a case, then the total against the budget."""
    from vigbench.runner.survey import estimated_s
    from vigbench.suites.duration import format_duration

    seconds = [estimated_s(case, planned.processes) for case in planned.cases]
    total = sum(seconds)
    print(
        aligned(
            [
                (case.case_id, case.label(), f"about {format_duration(duration_s)}")
                for case, duration_s in zip(planned.cases, seconds, strict=True)
            ]
        )
    )
    print(
        f"{len(planned.cases)} cases on {planned.cases[0].device}, estimated {format_duration(total)} "
        f"(give or take a factor of two), budget {format_duration(planned.budget_s)}. Nothing was measured."
    )
    if total > planned.budget_s:
        print(
            "The estimate is above the budget. Of each size the slowest cases come last: the largest of the slowest "
            "subjects may be pruned; raise --budget to measure them all."
        )
