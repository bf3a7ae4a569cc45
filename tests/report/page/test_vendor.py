"""The libraries in the page are those that the README beside them names."""

from __future__ import annotations

import hashlib
import re
from importlib.resources import files

import pytest

from vigbench.report.page.render import LIBRARIES

VENDOR = files("vigbench.report.page") / "vendor"


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_library_is_the_file_that_the_readme_names(name: str) -> None:
    content = (VENDOR / name).read_bytes()
    (row,) = [line for line in (VENDOR / "README.md").read_text("utf-8").splitlines() if line.startswith(f"| `{name}`")]
    assert hashlib.sha256(content).hexdigest() in row
    version = re.search(r"v(\d+\.\d+\.\d+) Copyright", content[:200].decode())
    assert version
    assert f"| {version[1]} |" in row


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_library_cannot_end_the_element_that_holds_it(name: str) -> None:
    text = (VENDOR / name).read_text("utf-8").lower()
    assert "</script" not in text
    assert "<!--" not in text


def test_the_licences_are_there() -> None:
    for name in ("LICENSE.d3", "LICENSE.plot"):
        assert "Permission to use, copy, modify" in (VENDOR / name).read_text("utf-8")
