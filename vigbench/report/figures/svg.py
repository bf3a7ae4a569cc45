"""A picture as text for the page, and as files for papers."""

from __future__ import annotations

import io
import re
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from vigbench.report.style import theme

ENDINGS = ("png", "svg", "pdf")
NO_DATE = {"Date": None, "Creator": None, "Format": None, "Type": None}


def save(figure: Figure, folder: Path, name: str) -> None:
    """`<name>.png` at 200 dpi, `.svg` and `.pdf`; the same input gives the same bytes. Call it inside `look`."""
    figure.savefig(folder / f"{name}.png", dpi=200, facecolor="white", metadata={"Software": None})
    figure.savefig(folder / f"{name}.svg", facecolor="white", metadata=NO_DATE)
    metadata = {"CreationDate": None, "Creator": None, "Producer": None}
    figure.savefig(folder / f"{name}.pdf", facecolor="white", metadata=metadata)


def inline(figure: Figure, name: str) -> str:
    """One `<svg>` element; colours become the page's variables. Call it inside `look`."""
    buffer = io.StringIO()
    matplotlib.rcParams["svg.hashsalt"] = name  # the page holds many pictures: ids must differ
    figure.savefig(buffer, format="svg", transparent=True, metadata=NO_DATE)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(
        r"<defs>\s*<style.*?</style>\s*</defs>", "", text, count=1, flags=re.DOTALL
    )  # it would style the page
    text = text.replace('<g id="label"', '<g class="label"')
    text = re.sub(r'<g id="[a-zA-Z0-9._]+_[0-9]+"', "<g", text)  # numbered anew in each picture
    text = re.sub(r"^<svg[^>]*?viewBox=\"([^\"]*)\"[^>]*>", r'<svg viewBox="\1">', text)
    text = re.sub(r"(?<=: )#[0-9a-f]{6}(?=[;\"])", _variable, text)
    return re.sub(r"\s*\n\s*", "\n", text).strip()


def _variable(match: re.Match[str]) -> str:
    known = theme().get(match[0])
    return f"var({known[0]})" if known else match[0]
