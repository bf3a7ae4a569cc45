"""vigbench: does linear-complexity vision pay off on my hardware, and can I trust the answer?

The public interface. Importing it is cheap: torch and timm are imported with the first thing that needs them, and
vigbench's models register with timm as soon as both packages are imported, in either order.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from vigbench.timm_hook import register_with_timm

if TYPE_CHECKING:
    from vigbench.analysis.capacity import largest_resolution
    from vigbench.analysis.claims.checking import check_claims
    from vigbench.analysis.compare import compare
    from vigbench.analysis.crossovers import crossovers
    from vigbench.analysis.scaling import fit_scaling
    from vigbench.measure.cost import Cost, count_cost
    from vigbench.records.load import load_results
    from vigbench.report.figures.plotting import plot_curves, plot_scatter, published_values
    from vigbench.runner.run import Run, run
    from vigbench.subjects.catalog import create_model, list_subjects
    from vigbench.suites.loader import list_suites, load_suite

__version__ = "0.1.0"

_HOME = {
    "Cost": "vigbench.measure.cost",
    "Run": "vigbench.runner.run",
    "check_claims": "vigbench.analysis.claims.checking",
    "compare": "vigbench.analysis.compare",
    "count_cost": "vigbench.measure.cost",
    "create_model": "vigbench.subjects.catalog",
    "crossovers": "vigbench.analysis.crossovers",
    "fit_scaling": "vigbench.analysis.scaling",
    "largest_resolution": "vigbench.analysis.capacity",
    "list_subjects": "vigbench.subjects.catalog",
    "list_suites": "vigbench.suites.loader",
    "load_results": "vigbench.records.load",
    "load_suite": "vigbench.suites.loader",
    "plot_curves": "vigbench.report.figures.plotting",
    "plot_scatter": "vigbench.report.figures.plotting",
    "published_values": "vigbench.report.figures.plotting",
    "run": "vigbench.runner.run",
}

__all__ = [
    "Cost",
    "Run",
    "check_claims",
    "compare",
    "count_cost",
    "create_model",
    "crossovers",
    "fit_scaling",
    "largest_resolution",
    "list_subjects",
    "list_suites",
    "load_results",
    "load_suite",
    "plot_curves",
    "plot_scatter",
    "published_values",
    "run",
]

register_with_timm()


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'vigbench' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
