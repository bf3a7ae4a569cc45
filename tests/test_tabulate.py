"""Tables as text: every cell is found again where its column is."""

from hypothesis import given
from hypothesis import strategies as st

from vigbench.tabulate import aligned, markdown

CELL = st.text("abc ", max_size=8).map(str.strip)
TABLE = st.integers(1, 5).flatmap(
    lambda columns: st.lists(st.lists(CELL, min_size=columns, max_size=columns), min_size=1)
)


@given(rows=TABLE, right=st.sets(st.integers(0, 4)))
def test_columns_stand_below_each_other_two_spaces_apart(rows: list[list[str]], right: set[int]) -> None:
    lines = aligned(rows, right).split("\n")
    assert len(lines) == len(rows)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for line, row in zip(lines, rows, strict=True):
        assert line == line.rstrip()
        begin = 0
        for column, (cell, width) in enumerate(zip(row, widths, strict=True)):
            field = line[begin : begin + width].ljust(width)
            assert field == (cell.rjust(width) if column in right else cell.ljust(width))
            begin += width + 2


def test_no_rows_are_no_text() -> None:
    assert aligned([]) == ""


def test_markdown_has_heads_a_rule_and_a_line_for_each_row() -> None:
    assert markdown(("case", "ms"), [("a", "1"), ("b", "12")], {1}) == "| case | ms |\n|---|--:|\n| a | 1 |\n| b | 12 |"
