"""The metrics that get a plot, and how their numbers are written."""

from __future__ import annotations

from dataclasses import dataclass

from vigbench.report.rows import Setting


@dataclass(frozen=True)
class Metric:
    """One plotted column of the records."""

    column: str
    name: str
    unit: str
    quantity: str  # as in "needs 93% less <quantity>"
    low: str | None = None
    high: str | None = None
    higher_is_better: bool = False
    counted: bool = False  # counted from the model, not measured: valid for a case that failed later
    is_time: bool = False
    across: bool = True  # whether two operators compare in it, not only implementations of one

    def name_in(self, setting: Setting) -> str:
        """Its name among the cases of a setting: an operator works on sequences."""
        return self.name.replace("image", "sequence") if setting.shape else self.name


LATENCY = Metric("latency_ms", "Latency", "ms", "time", "latency_low_ms", "latency_high_ms", is_time=True)
THROUGHPUT = Metric(
    "throughput_img_per_s",
    "Throughput",
    "images/s",
    "images per second",
    "throughput_low_img_per_s",
    "throughput_high_img_per_s",
    higher_is_better=True,
)
ACTIVATIONS = Metric("activation_memory_mib", "Activation memory", "MiB", "activation memory")
PEAK = Metric("peak_memory_mib", "Peak memory", "MiB", "peak memory")
GMACS = Metric("gmacs", "Multiply-adds per image", "GMACs", "multiply-adds", counted=True)
METRICS = (LATENCY, THROUGHPUT, ACTIVATIONS, PEAK, GMACS)
"""Those of models that get a plot."""
KERNEL = Metric("kernel_ms", "Kernel time", "ms", "device time", "kernel_low_ms", "kernel_high_ms", is_time=True)
BANDWIDTH = Metric("achieved_gb_per_s", "Achieved bandwidth", "GB/s", "bandwidth", higher_is_better=True, across=False)
COMPUTE = Metric(
    "achieved_tflop_per_s", "Achieved arithmetic", "TFLOP/s", "arithmetic rate", higher_is_better=True, across=False
)
EXTRA_MEMORY = Metric("extra_memory_share", "Extra memory", "of inputs and output", "extra memory")
OPERATOR_METRICS = (LATENCY, KERNEL, BANDWIDTH, COMPUTE, EXTRA_MEMORY, PEAK, GMACS)
"""Those of operators that get a plot."""
PLOTTED = (LATENCY, KERNEL, THROUGHPUT, BANDWIDTH, COMPUTE, ACTIVATIONS, EXTRA_MEMORY, PEAK, GMACS)
BANDWIDTH_SHARE = Metric("bandwidth_share", "Bandwidth, share of a copy's", "", "bandwidth", higher_is_better=True)
COMPUTE_SHARE = Metric("compute_share", "Arithmetic, share of a matrix product's", "", "rate", higher_is_better=True)
SAVED = Metric("saved_for_backward_mib", "Saved for backward", "MiB", "memory kept for the backward pass")
SLACK = Metric("allocator_slack_mib", "Allocator slack", "MiB", "cached memory")
FORWARD = Metric("forward_ms", "Forward", "ms", "time", "forward_low_ms", "forward_high_ms")
BACKWARD = Metric("backward_ms", "Backward", "ms", "time", "backward_low_ms", "backward_high_ms")
OPTIMIZER = Metric("optimizer_ms", "Optimiser", "ms", "time", "optimizer_low_ms", "optimizer_high_ms")
STATE = Metric("optimizer_state_mib", "Optimiser state", "MiB", "memory of the optimiser")
GRADIENTS = Metric("gradients_mib", "Gradients", "MiB", "memory of gradients")
GRAPH_BREAKS = Metric("graph_breaks", "Graph breaks", "", "graph breaks")
LARGEST_BATCH = Metric("largest_batch", "Largest batch", "images", "images", higher_is_better=True)
ENERGY = Metric("energy_j_per_img", "Energy per image", "J", "energy")
TRAINING = (FORWARD, BACKWARD, OPTIMIZER, SAVED, GRADIENTS, STATE)
TABLE_METRICS = (
    *PLOTTED,
    BANDWIDTH_SHARE,
    COMPUTE_SHARE,
    *TRAINING,
    SLACK,
    LARGEST_BATCH,
    ENERGY,
    GRAPH_BREAKS,
)
"""Those that get a column in the table of all cases, where they were measured."""


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
