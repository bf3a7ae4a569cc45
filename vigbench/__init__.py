"""vigbench: does linear-complexity vision pay off on my hardware, and can I trust the answer?

The public interface. Importing it is cheap: torch and timm are imported with the first thing that needs them, and
vigbench's models register with timm as soon as both packages are imported, in either order.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from vigbench.timm_hook import register_with_timm

if TYPE_CHECKING:
    from vigbench.analysis.capacity import largest_resolution
    from vigbench.analysis.claims import check_claims
    from vigbench.analysis.compare import compare
    from vigbench.analysis.crossovers import crossovers
    from vigbench.analysis.disturbance_text import disturbances
    from vigbench.analysis.scaling import fit_scaling
    from vigbench.measure.cost import Cost, count_cost
    from vigbench.records.load import load_results
    from vigbench.report.figures.plotting import plot_curves, plot_scatter, published_values
    from vigbench.report.of_runs import write_report
    from vigbench.report.profile import plot_profile
    from vigbench.runner.case import create_case
    from vigbench.runner.claims import count_claimed_models, measure_claims
    from vigbench.runner.duel import Effort
    from vigbench.runner.duel_result import DuelResult, duel
    from vigbench.runner.evaluate import evaluate
    from vigbench.runner.gate import GateResult, gate
    from vigbench.runner.profile import profile_subject
    from vigbench.runner.run import Run, run
    from vigbench.subjects.catalog import create_model, list_subjects
    from vigbench.subjects.task import Task
    from vigbench.suites.loader import list_suites, load_suite

__version__ = "0.1.0"

_HOME = {
    "Cost": "vigbench.measure.cost",
    "DuelResult": "vigbench.runner.duel_result",
    "Effort": "vigbench.runner.duel",
    "GateResult": "vigbench.runner.gate",
    "Run": "vigbench.runner.run",
    "Task": "vigbench.subjects.task",
    "check_claims": "vigbench.analysis.claims",
    "compare": "vigbench.analysis.compare",
    "count_claimed_models": "vigbench.runner.claims",
    "count_cost": "vigbench.measure.cost",
    "create_case": "vigbench.runner.case",
    "create_model": "vigbench.subjects.catalog",
    "crossovers": "vigbench.analysis.crossovers",
    "disturbances": "vigbench.analysis.disturbance_text",
    "duel": "vigbench.runner.duel_result",
    "evaluate": "vigbench.runner.evaluate",
    "fit_scaling": "vigbench.analysis.scaling",
    "gate": "vigbench.runner.gate",
    "largest_resolution": "vigbench.analysis.capacity",
    "list_subjects": "vigbench.subjects.catalog",
    "list_suites": "vigbench.suites.loader",
    "load_results": "vigbench.records.load",
    "load_suite": "vigbench.suites.loader",
    "measure_claims": "vigbench.runner.claims",
    "plot_curves": "vigbench.report.figures.plotting",
    "plot_profile": "vigbench.report.profile",
    "plot_scatter": "vigbench.report.figures.plotting",
    "profile_subject": "vigbench.runner.profile",
    "published_values": "vigbench.report.figures.plotting",
    "run": "vigbench.runner.run",
    "write_report": "vigbench.report.of_runs",
}

__all__ = [
    "Cost",
    "DuelResult",
    "Effort",
    "GateResult",
    "Run",
    "Task",
    "check_claims",
    "compare",
    "count_claimed_models",
    "count_cost",
    "create_case",
    "create_model",
    "crossovers",
    "disturbances",
    "duel",
    "evaluate",
    "fit_scaling",
    "gate",
    "largest_resolution",
    "list_subjects",
    "list_suites",
    "load_results",
    "load_suite",
    "measure_claims",
    "plot_curves",
    "plot_profile",
    "plot_scatter",
    "profile_subject",
    "published_values",
    "run",
    "write_report",
]

register_with_timm()


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'vigbench' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
