"""The page's template, styles and scripts, put together into one file that loads nothing."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from vigbench.report.style import theme

LIBRARIES = ("d3.min.js", "plot.umd.min.js")
MODULES = (
    "data.js", "state.js", "labels.js", "axes.js", "lines.js", "dots.js", "readout.js", "controls.js", "explorer.js",
    "copy.js", "table.js", "page.js",
)  # fmt: skip


def render(values: Mapping[str, Any], *, interactive: bool) -> str:
    """The page; `values` fill the template. Without interactive parts the libraries stay out."""
    environment = Environment(
        loader=PackageLoader("vigbench.report.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["joined"] = joined
    scripts = _scripts() if interactive else []
    return environment.get_template("report.html.j2").render(
        **values,
        css=Markup(theme_css() + asset("report.css")),  # noqa: S704 - our own file
        scripts=[Markup(text) for text in scripts],  # noqa: S704 - our own files
        hashes=[_digest(text) for text in scripts],
    )


def joined(text: str) -> Markup:
    """`DeiT-T (sdpa)` and `--threads 1` stay on one line; splitting keeps them at the odd places."""
    parts = re.split(r"(--[a-z]{1,16} \w{1,8}|\S{1,12}-\S{1,4}(?: \(\w{1,16}\))?)", text)
    wrapped = (
        Markup('<span class="joined">{}</span>').format(part) if i % 2 else escape(part) for i, part in enumerate(parts)
    )
    return Markup("").join(wrapped)


@cache
def asset(name: str, folder: str = "templates") -> str:
    """The text of a file of this package."""
    return files("vigbench.report.page").joinpath(folder, name).read_text(encoding="utf-8")


def _scripts() -> list[str]:
    """The libraries as they are, then the page's own modules as one script."""
    own = "\n".join(asset(name) for name in MODULES)
    return [*(asset(name, "vendor") for name in LIBRARIES), f'"use strict";\n(() => {{\n{own}\n}})();']


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def theme_css() -> str:
    """The colours of the pictures as variables, light and dark."""
    light = "".join(f"{name}:{value};" for name, value, _ in theme().values())
    dark = "".join(f"{name}:{value};" for name, _, value in theme().values())
    return f":root{{{light}}}\n@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}\n"
