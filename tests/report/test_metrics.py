"""What the report shows of a column follows from its declaration."""

from vigbench.records.metrics import COLUMNS
from vigbench.report.metrics import (
    ACTIVATIONS,
    GMACS,
    KERNEL,
    LATENCY,
    METRICS,
    OPERATOR_METRICS,
    PLOTTED,
    TABLE_METRICS,
    THROUGHPUT,
)


def test_every_column_that_is_shown_has_its_place() -> None:
    assert {metric.column for metric in TABLE_METRICS} == {name for name, column in COLUMNS.items() if column.shown}
    assert len(set(TABLE_METRICS)) == len(TABLE_METRICS)
    assert set(PLOTTED) == {*METRICS, *OPERATOR_METRICS}
    assert TABLE_METRICS[: len(PLOTTED)] == PLOTTED, "what has a plot comes first"
    assert (LATENCY in METRICS, LATENCY in OPERATOR_METRICS) == (True, True)
    assert (THROUGHPUT in METRICS, THROUGHPUT in OPERATOR_METRICS) == (True, False)
    assert (KERNEL in METRICS, KERNEL in OPERATOR_METRICS) == (False, True)


def test_names_units_and_quantities_speak_of_items() -> None:
    rate = THROUGHPUT.of("latent")
    assert (rate.name, rate.unit, rate.quantity) == ("Throughput", "latents/s", "latents per second")
    assert (THROUGHPUT.unit, THROUGHPUT.quantity) == ("images/s", "images per second")
    assert GMACS.of("clip").name == "Multiply-adds per clip"
    assert (LATENCY.of("clip").unit, LATENCY.low, LATENCY.high) == ("ms", "latency_low_ms", "latency_high_ms")
    assert (ACTIVATIONS.low, ACTIVATIONS.high) == (None, None)


def test_what_kind_of_number_it_is_follows_from_the_unit() -> None:
    assert [metric.column for metric in PLOTTED if metric.is_time] == ["latency_ms", "kernel_ms"]
    assert [metric.column for metric in PLOTTED if metric.counted] == ["gmacs"]
    rates = {"throughput_per_s", "achieved_gb_per_s", "achieved_tflop_per_s"}
    assert {metric.column for metric in PLOTTED if metric.higher_is_better} == rates
