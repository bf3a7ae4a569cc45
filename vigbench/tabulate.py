"""Tables as text: columns aligned for a terminal, and Markdown."""

from __future__ import annotations

from collections.abc import Collection, Sequence

Cells = Sequence[str]


def aligned(rows: Sequence[Cells], right: Collection[int] = ()) -> str:
    """Rows of equally many cells as lines, the columns two spaces apart; nothing trails.

    Args:
        rows: the first may be the heads.
        right: indices of the columns whose cells end below each other, as numbers do.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = enumerate(zip(row, widths, strict=True))
        lines.append("  ".join(cell.rjust(width) if n in right else cell.ljust(width) for n, (cell, width) in cells))
    return "\n".join(line.rstrip() for line in lines)


def markdown(heads: Cells, rows: Sequence[Cells], right: Collection[int] = ()) -> str:
    """A table in GitHub-flavoured Markdown; cells are Markdown already (`analysis.table.escape_markdown`).

    Args:
        heads: of the columns.
        rows: of as many cells.
        right: indices of the columns that are aligned to the right.
    """
    rule = "".join("|--:" if index in right else "|---" for index in range(len(heads))) + "|"
    return "\n".join([_line(heads), rule, *map(_line, rows)])


def _line(cells: Cells) -> str:
    return f"| {' | '.join(cells)} |"
