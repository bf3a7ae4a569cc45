"""Every pair of text and background, and every line and control, meets WCAG AA, light and dark."""

from __future__ import annotations

import re
from itertools import product

import pytest
from matplotlib.colors import to_rgb

from vigbench.report.page.render import asset, theme_css
from vigbench.report.style import FAMILY_COLOURS

TEXTS = ["--ink", "--muted", "--accent", "--good", "--bad", *(f"--{family}-text" for family in FAMILY_COLOURS)]
LINES = ["--control", "--accent", "--muted", *(f"--{family}" for family in FAMILY_COLOURS)]
ON_PAPER = [*product(TEXTS, ["--paper"]), ("--ink", "--panel"), ("--muted", "--panel"), ("--warn", "--warn-bg")]


def variables(scheme: str) -> dict[str, str]:
    """The page's colours in one scheme: what `:root` says, and for dark what its media query says over it."""
    css = theme_css() + asset("report.css")
    dark = "".join(re.findall(r"@media screen and \(prefers-color-scheme: ?dark\) ?{\s*:root ?{(.*?)}", css, re.DOTALL))
    light = re.sub(r"@media.*?{\s*:root.*?}\s*}", "", css, flags=re.DOTALL)
    found = {}
    for block in [*re.findall(r":root ?{(.*?)}", light, re.DOTALL), *([dark] if scheme == "dark" else [])]:
        found.update(re.findall(r"(--[\w-]+): ?(#[0-9a-fA-F]{3,6})\b", block))
    return found


def contrast(a: str, b: str) -> float:
    def luminance(colour: str) -> float:
        channels = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
        return 0.2126 * channels[0] + 0.7152 * channels[1] + 0.0722 * channels[2]

    low, high = sorted([luminance(a), luminance(b)])
    return (high + 0.05) / (low + 0.05)


def test_contrast_of_black_and_white_is_21() -> None:
    assert contrast("#000", "#fff") == pytest.approx(21)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_4_5_and_lines_and_controls_have_3(scheme: str) -> None:
    colours = variables(scheme)
    assert (colours["--paper"] == "#fff") is (scheme == "light")
    texts = {(text, on): contrast(colours[text], colours[on]) for text, on in ON_PAPER}
    assert {pair: found for pair, found in texts.items() if found < 4.5} == {}
    lines = {line: contrast(colours[line], colours["--paper"]) for line in LINES}
    assert {line: found for line, found in lines.items() if found < 3} == {}


def test_no_colour_is_written_outside_the_theme() -> None:
    css = re.sub(r":root ?{.*?}", "", asset("report.css"), flags=re.DOTALL)
    assert re.findall(r":[^;{}]*#[0-9a-fA-F]{3,6}\b", css) == []
