"""Text measured in points, before there is a picture."""

from __future__ import annotations

from bisect import bisect_right
from functools import lru_cache

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

SIZE = 8.5  # points, the text of all labels
LABELS, LEAST_LABEL = 0.4, 70.0  # share of a picture's width, and points, that a label may take
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
    lines, words = [], text.split()
    while words:
        # the most words that fit, by bisection: measuring a long line is slow
        starts = [" ".join(words[:count]) for count in range(1, len(words) + 1)]
        most = max(1, bisect_right(starts, width, key=lambda start: text_width(start, size, weight)))
        lines.append(starts[most - 1])
        words = words[most:]
    return lines


def fitting(label: str, width: float) -> str:
    """A label as it stands beside a picture of this width: it may take two fifths of it."""
    return shorten(label, max(LEAST_LABEL, LABELS * width))


def shorten(text: str, width: float) -> str:
    """The text, its middle cut out where it is wider than `width` points."""
    keep = len(text)
    cut = text
    while text_width(cut) > width and keep > 4:
        keep -= 1
        cut = f"{text[: (keep + 1) // 2]}\N{HORIZONTAL ELLIPSIS}{text[len(text) - keep // 2 :]}"
    return cut
