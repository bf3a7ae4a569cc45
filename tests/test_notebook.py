"""The notebook runs from its first cell to its last, and what is committed shows its results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "reports" / "analysis.ipynb"


def read() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)


def pictures(notebook: Any) -> int:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return sum("image/png" in output.get("data", {}) for output in outputs)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of Jupyter's own packages
def test_it_runs_and_shows_the_paper_s_figures() -> None:
    notebook = read()
    for cell in notebook.cells:
        cell.pop("outputs", None)
        if cell.cell_type == "code":
            cell.outputs = []
    resources = {"metadata": {"path": str(NOTEBOOK.parent)}}
    NotebookClient(notebook, timeout=None, kernel_name="python3", resources=resources).execute()
    assert pictures(notebook) == 5


def test_what_is_committed_was_executed_in_order_and_is_short() -> None:
    code = [cell for cell in read().cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert len(code) <= 14
    assert pictures(read()) == 5
    assert not [output for cell in code for output in cell.outputs if output.output_type == "error"]
