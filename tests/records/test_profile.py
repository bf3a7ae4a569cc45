"""What a profile writes it reads again, and damage is named."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vigbench.records.profile import CostRow, KernelRow, MemoryRow, ModuleRow, OperatorRow, ProfileRecord

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"), max_size=12)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


def record(text: str = "blocks.0", number: float = 1.5, kernels: int = 1) -> ProfileRecord:
    n = number
    return ProfileRecord(
        info={"label": text, "totals": {"latency_ms": n}},
        modules=(ModuleRow(text, text, text, n, n, n, n, n, n, n, n, n, n),),
        operators=(OperatorRow(text, n, n, n, n, n, text),),
        costs=(CostRow(text, text, "forward", n, n, n, n, n, n, n, n, n, n, n, n, n, text),),
        kernels=(KernelRow(text, text, n, n, n),) * kernels,
        memory=(MemoryRow(n, n, n, text, text, "backward"),) * 2,
    )


@given(TEXT, NUMBERS)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_profile_reads_as_it_was_written(tmp_path: Path, text: str, number: float) -> None:
    record(text, number).write(tmp_path)
    assert ProfileRecord.read(tmp_path) == record(text, number)


def test_a_cpu_has_no_table_of_kernels(tmp_path: Path) -> None:
    record(kernels=0).write(tmp_path)
    assert not (tmp_path / "kernels.csv").exists()
    assert ProfileRecord.read(tmp_path).kernels == ()


def test_what_is_no_profile_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"profile\.json is missing\. Name a folder"):
        ProfileRecord.read(tmp_path)


@pytest.mark.parametrize(
    ("name", "text"), [("profile.json", "{"), ("costs.csv", "operator\nx\n"), ("modules.csv", "a")]
)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, text: str) -> None:
    record().write(tmp_path)
    (tmp_path / name).write_text(text + "\n1\n")
    with pytest.raises(ValueError, match=name):
        ProfileRecord.read(tmp_path)
