"""The metrics that the report shows, as `records/metrics.py` declares them, and how their numbers are written."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from vigbench.records.column import Column, QuantityKind, Shown
from vigbench.records.metrics import COLUMNS


@dataclass(frozen=True)
class Metric:
    """One column of the records that is shown, for cases whose items are `item`: images, sequences."""

    column: str
    item: str = field(default="image", compare=False)

    def of(self, item: str) -> Metric:
        """The same for other items."""
        return replace(self, item=item)

    @property
    def declared(self) -> Column:
        return COLUMNS[self.column]

    @property
    def shown(self) -> Shown:
        shown = self.declared.shown
        assert shown is not None
        return shown

    @property
    def name(self) -> str:
        return self.shown.name.format(item=self.item)

    @property
    def quantity(self) -> str:
        """As in "needs 93% less <quantity>"."""
        return self.shown.quantity.format(item=self.item)

    @property
    def unit(self) -> str:
        return self.declared.unit.of(self.item)

    @property
    def low(self) -> str | None:
        """The column of the lower end of its interval."""
        return self.declared.interval[0] if self.declared.interval else None

    @property
    def high(self) -> str | None:
        return self.declared.interval[1] if self.declared.interval else None

    @property
    def higher_is_better(self) -> bool:
        return self.shown.higher_is_better

    @property
    def across(self) -> bool:
        """Whether two operators compare in it, not only implementations of one."""
        return self.shown.across

    @property
    def counted(self) -> bool:
        """Counted from the model, not measured: valid for a case that failed later."""
        return self.declared.kind is QuantityKind.cost

    @property
    def is_time(self) -> bool:
        return self.declared.kind is QuantityKind.time


_SHOWN = {name: Metric(name) for name, column in COLUMNS.items() if column.shown}
METRICS = tuple(metric for metric in _SHOWN.values() if metric.shown.models)
"""Those of models that get a plot."""
OPERATOR_METRICS = tuple(metric for metric in _SHOWN.values() if metric.shown.operators)
"""Those of operators that get a plot."""
PLOTTED = tuple(metric for metric in _SHOWN.values() if metric in (*METRICS, *OPERATOR_METRICS))
TABLE_METRICS = (*PLOTTED, *(metric for metric in _SHOWN.values() if metric not in PLOTTED))
"""Those that get a column in the table of all cases, where they were measured."""
LATENCY, THROUGHPUT, KERNEL = _SHOWN["latency_ms"], _SHOWN["throughput_per_s"], _SHOWN["kernel_ms"]
ACTIVATIONS, PEAK, EXTRA_MEMORY = (
    _SHOWN[name] for name in ("activation_memory_mib", "peak_memory_mib", "extra_memory_share")
)
GMACS, BANDWIDTH, COMPUTE = (_SHOWN[name] for name in ("gmacs", "achieved_gb_per_s", "achieved_tflop_per_s"))


def number(value: float | None) -> str:
    """Three significant digits, thousands separated, no exponent."""
    if value is None:
        return ""
    if value == 0:
        return "0"
    if abs(value) >= 99.95:
        return f"{value:,.0f}"
    if abs(value) >= 9.995:
        return f"{value:.1f}"
    if abs(value) >= 0.9995:
        return f"{value:.2f}"
    return f"{value:.3f}" if abs(value) >= 0.09995 else f"{value:.3g}"


def times(ratio: float) -> str:
    """A ratio as people write it: 1.04x, 2.6x, 58x."""
    return f"{ratio:.2f}x" if ratio < 1.095 else f"{ratio:.1f}x" if ratio < 9.95 else f"{ratio:,.0f}x"


def percent(share: float) -> str:
    """A share of 1 as a percentage; close to 100% one decimal stays."""
    return f"{100 * share:.1f}%" if 0.985 <= share < 1 else f"{100 * share:,.0f}%"
