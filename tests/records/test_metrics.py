"""The declaration of the columns: complete, consistent with their names, and open to old records."""

import typing

import pytest
from pydantic import ValidationError

from vigbench.records import column as declaring
from vigbench.records.column import Combine, QuantityKind, Units
from vigbench.records.metrics import COLUMNS, SOURCES, Metrics, of_source, with_interval
from vigbench.worker.messages import Outcome, decode

SUFFIXES = {
    "_ms": Units.ms, "_s": Units.s, "_mib": Units.mib, "_per_s": Units.items_per_s, "_gb_per_s": Units.gb_per_s,
    "_tflop_per_s": Units.tflop_per_s, "gmacs": Units.gmacs, "_j_per_img": Units.joule, "_w": Units.watt,
    "_mhz": Units.mhz, "_c": Units.celsius, "voxels_per_s": Units.voxels_per_s,
    "_mib_per_rank": Units.sent_mib,
}  # fmt: skip
WITHOUT_UNIT = {QuantityKind.count, QuantityKind.ratio, QuantityKind.text}


def test_a_column_cannot_be_declared_without_saying_what_several_processes_make() -> None:
    with pytest.raises(TypeError, match="combine"):
        declaring.column("page faults", Units.count)  # type: ignore[call-arg]
    assert list(COLUMNS) == list(Metrics.model_fields)
    assert all(isinstance(one.combine, Combine) for one in COLUMNS.values())


@pytest.mark.parametrize("name", COLUMNS)
def test_the_name_of_a_quantity_ends_in_its_unit(name: str) -> None:
    found = [suffix for suffix in SUFFIXES if name.endswith(suffix)]
    unit = COLUMNS[name].unit
    if found:
        assert unit is SUFFIXES[max(found, key=len)]
    else:
        assert unit.kind in WITHOUT_UNIT or unit is Units.parameters


@pytest.mark.parametrize("name", COLUMNS)
def test_text_is_not_combined_as_a_number_and_a_number_not_as_text(name: str) -> None:
    field, column = Metrics.model_fields[name], COLUMNS[name]
    assert field.description
    is_number = bool({int, float} & set(typing.get_args(field.annotation)))
    assert is_number == (column.kind is not QuantityKind.text)
    assert is_number or column.combine in (Combine.same, Combine.joined)
    assert not is_number or column.combine is not Combine.joined


@pytest.mark.parametrize("name", [name for name, column in COLUMNS.items() if column.interval])
def test_the_ends_of_an_interval_are_columns_of_the_same_kind(name: str) -> None:
    column = COLUMNS[name]
    for end in column.interval or ():
        assert (COLUMNS[end].unit, COLUMNS[end].combine) == (column.unit, column.combine)
    low, high = column.interval or ("", "")
    assert with_interval(name, 2.0, 1.0, 3.0) == {name: 2.0, low: 1.0, high: 3.0}


def test_what_is_compared_or_has_a_law_has_an_interval_or_is_memory() -> None:
    for column in COLUMNS.values():
        if column.compared or column.less:
            assert column.interval or column.kind is QuantityKind.memory


def test_values_of_several_sources_name_the_column_that_tells_them_apart() -> None:
    assert set(SOURCES.values()) <= set(COLUMNS)
    assert of_source("kernel_time_source") == ("kernel_ms", "kernel_low_ms", "kernel_high_ms", "kernel_time_source")


def test_units_speak_of_the_items_of_the_case() -> None:
    assert COLUMNS["throughput_per_s"].unit.of("sequence") == "sequences/s"
    assert COLUMNS["kernel_ms"].unit.of("sequence") == "ms"
    schema = Metrics.model_json_schema()["properties"]["peak_memory_mib"]
    assert (schema["unit"], schema["kind"], schema["several_processes"]) == ("MiB", "memory", "the largest")


def test_a_worker_of_an_older_build_is_understood() -> None:
    said = b'{"kind": "outcome", "status": "ok", "metrics": {"throughput_img_per_s": 5.0}}'
    outcome = decode(said)
    assert isinstance(outcome, Outcome)
    assert outcome.metrics == Metrics(throughput_per_s=5.0)
    assert "img_per_s" not in outcome.model_dump_json(exclude_none=True)
    with pytest.raises(ValidationError, match="throughput"):
        Metrics.model_validate({"throughput_img_per_s": 5.0, "throughput_per_s": 5.0})
