from collections.abc import Callable
from pathlib import Path

from vigbench.records.document import document
from vigbench.records.schema import Record, columns
from vigbench.suites.case import Case


def test_every_column_is_described() -> None:
    assert all(columns().values())


def test_a_row_has_exactly_the_columns(make_record: Callable[..., Record]) -> None:
    row = make_record(64, marks=("contended", "not_converged")).row()
    assert list(row) == list(columns())
    assert row["marks"] == "contended;not_converged"


def test_what_an_item_is_follows_from_the_case_where_a_record_does_not_say(make_record: Callable[..., Record]) -> None:
    assert make_record(64).unit == "image"
    operator = Case(subject="gla", length=196, heads=3, key_dim=32, value_dim=64)
    assert make_record(64, case=operator).unit == "sequence"
    assert make_record(64, unit="latent").unit == "latent"


def test_json_round_trip(make_record: Callable[..., Record]) -> None:
    record = make_record(64, marks=("contended",))
    assert Record.model_validate_json(record.model_dump_json()) == record


def test_the_documented_schema_is_the_code_s() -> None:
    page = Path(__file__).parents[2] / "docs" / "result-schema.md"
    assert page.read_text() == document() + "\n", "run: python -m vigbench.records.document > docs/result-schema.md"
