"""One look for all pictures: colour by family, marker by size, line style by implementation."""

from __future__ import annotations

from dataclasses import dataclass

from vigbench.ops.registry import list_implementations

INK, MUTED, GRID, LEADER = "#1b1b1f", "#5c5c66", "#e4e4e8", "#b4b4bc"


@dataclass(frozen=True)
class FamilyColour:
    """A family's line colour (Okabe-Ito) and a darker text colour: three of them are too light to read as text."""

    line: str
    text: str
    dark_line: str
    dark_text: str


FAMILY_COLOURS = {
    "vig": FamilyColour("#d55e00", "#b34700", "#f07a1e", "#ff9a52"),
    "deit": FamilyColour("#0072b2", "#00649c", "#3fa3df", "#6bbcf0"),
    "vim": FamilyColour("#009e73", "#00704f", "#1fbd90", "#42cfa6"),
    "linear": FamilyColour("#cc79a7", "#9c4276", "#d98bb7", "#eba6cc"),
    "windowed": FamilyColour("#4a4a4d", "#4a4a4c", "#c4c4c9", "#cfcfd4"),
    "cnn": FamilyColour("#85858a", "#66666b", "#98989f", "#b3b3ba"),
    "other": FamilyColour("#6b6259", "#6b6258", "#b3a89c", "#c2b7ab"),
}
FAMILY_ORDER = tuple(FAMILY_COLOURS)

MARKERS = {"nano": "v", "tiny": "o", "small": "s", "base": "^", "large": "D", "huge": "p", "xlarge": "P", "": "h"}
DASHES = {implementation.name: implementation.dash for implementation in list_implementations() if implementation.dash}
OTHER_END = ("D", "\N{WHITE DIAMOND}")
# where a line ends: the marker, and the same sign as a character for the note below the picture
END_MARKS = {"out_of_memory": ("x", "\N{MULTIPLICATION SIGN}"), "timeout": ("|", "|"), "crashed": ("+", "+")}


def colours(family: str) -> FamilyColour:
    """The colours of a family; an unknown one is `other`."""
    return FAMILY_COLOURS.get(family, FAMILY_COLOURS["other"])


def family_rank(family: str) -> int:
    """Where a family stands among the others; unknown ones come last."""
    return FAMILY_ORDER.index(family) if family in FAMILY_ORDER else len(FAMILY_ORDER)


def dashes(implementation: str) -> tuple[float, ...] | None:
    """The dash pattern of an implementation; None is a solid line."""
    return DASHES.get(implementation)


def theme() -> dict[str, tuple[str, str, str]]:
    """Every colour in a picture: colour -> (CSS variable, light value, dark value)."""
    table = {
        INK: ("--ink", INK, "#ececf0"),
        MUTED: ("--muted", MUTED, "#a9a9b4"),
        GRID: ("--grid", GRID, "#2f2f37"),
        LEADER: ("--leader", LEADER, "#5d5d68"),
    }
    for family, colour in FAMILY_COLOURS.items():
        table[colour.line] = (f"--{family}", colour.line, colour.dark_line)
        table[colour.text] = (f"--{family}-text", colour.text, colour.dark_text)
    return table
