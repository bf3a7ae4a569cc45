"""Text measured in points, before there is a picture."""

from __future__ import annotations

from functools import lru_cache

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

SIZE = 8.5  # points, the text of all labels
HINTED = 1.08  # a renderer that fits glyphs to pixels, or the reader's own font, can be this much wider


@lru_cache(maxsize=4096)
def text_width(text: str, size: float = SIZE, weight: str = "normal") -> float:
    """Width of a text in points."""
    if not text.strip():
        return 0.0
    font = FontProperties(family="DejaVu Sans", size=size, weight=weight)
    return float(TextPath((0, 0), text, prop=font, usetex=False).get_extents().width) * HINTED + 1.5


def wrap(text: str, width: float, size: float, weight: str = "normal") -> list[str]:
    """Lines no wider than `width` points, broken at spaces."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(longer, size, weight) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def shorten(text: str, width: float) -> str:
    """The text, its middle cut out where it is wider than `width` points."""
    keep = len(text)
    cut = text
    while text_width(cut) > width and keep > 4:
        keep -= 1
        cut = f"{text[: (keep + 1) // 2]}\N{HORIZONTAL ELLIPSIS}{text[len(text) - keep // 2 :]}"
    return cut
