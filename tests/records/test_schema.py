import re
from collections.abc import Callable
from pathlib import Path

from vigbench.records.document import document
from vigbench.records.schema import Record, columns

UNITS = re.compile(r"_(ms|s|mib|img_per_s|gb_per_s|tflop_per_s|gmacs|j_per_img|w|mhz|c)$")
DIMENSIONLESS = {"samples", "warmup_iterations", "outliers", "params", "gmacs", "flop_coverage", "uncounted_operators"}
DIMENSIONLESS |= {
    "output_error",
    "gradient_error",
    "gate_resolution",
    "other_load",
    "other_load_after",
    "rate_drop",
    "gpu_others",
    "gate_length",
    "bandwidth_share",
    "compute_share",
    "extra_memory_share",
}
DIMENSIONLESS |= {
    "effective_samples",
    "calibrated_latency",
    "processes",
    "attempts",
    "device_busy_share",
    "largest_batch",
}
DIMENSIONLESS |= {"energy_source", "throttle_reasons", "operator_calls", "kernel_launches", "sdpa_backend"}
DIMENSIONLESS |= {"kernel_time_source", "optimizer", "loss_drift", "graph_breaks"}


def test_every_column_is_described_and_every_quantity_names_its_unit() -> None:
    described = columns()
    assert all(described.values())
    names = list(described)
    metrics = names[names.index("latency_ms") : names.index("started_at")]
    assert [name for name in metrics if not UNITS.search(name) and name not in DIMENSIONLESS] == []


def test_a_row_has_exactly_the_columns(make_record: Callable[..., Record]) -> None:
    row = make_record(64, marks=("contended", "not_converged")).row()
    assert list(row) == list(columns())
    assert row["marks"] == "contended;not_converged"


def test_json_round_trip(make_record: Callable[..., Record]) -> None:
    record = make_record(64, marks=("contended",))
    assert Record.model_validate_json(record.model_dump_json()) == record


def test_the_documented_schema_is_the_code_s() -> None:
    page = Path(__file__).parents[2] / "docs" / "result-schema.md"
    assert page.read_text() == document() + "\n", "run: python -m vigbench.records.document > docs/result-schema.md"
