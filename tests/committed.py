"""What the commands say of the runs in `results/`: kept as text, so that a change of behaviour shows as a change of it.

`python -m tests.committed` writes the texts anew, for whoever means a change.
"""

import html
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from os import chdir
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import vigbench
from vigbench import cli

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "tests" / "golden" / "committed"
RUNS = sorted(path.parent.name for path in (ROOT / "results").glob("*/run.json"))
DUELS = sorted(path.parent.name for path in (ROOT / "results").glob("*/duel.json"))
_BLOCKS = re.compile(r"</?(?:p|h\d|li|tr|div|section|figcaption|summary|details|table|ul|ol|dt|dd|pre|option)\b[^>]*>")
_UNSEEN = re.compile(r"<(style|script)\b.*?</\1>|<svg\b.*?</svg>", re.DOTALL)
_DATA = re.compile(r'<script type="application/json"[^>]*>(.*?)</script>', re.DOTALL)


def command(*arguments: str) -> str:
    """Exit code and output of a command, as from the root of the repository."""
    said = StringIO()
    with _in(ROOT), patch("sys.argv", ["vigbench", *arguments]), redirect_stdout(said), redirect_stderr(said):
        try:
            cli.main()
        except SystemExit as end:
            code = end.code
    return f"exit code {code}\n{said.getvalue()}"


def page(run: str) -> str:
    """What a person can read on the report of a run, and what its script works on."""
    with TemporaryDirectory() as folder:
        command("report", f"results/{run}", "--out", folder)
        text = Path(folder, "report.html").read_text(encoding="utf-8")
    return f"{_seen(text)}\n\n{_data(text)}\n"


def _seen(text: str) -> str:
    body = re.sub(r"<[^>]+>", "", _BLOCKS.sub("\n", re.sub(r"</t[dh]>", " | ", _UNSEEN.sub("", text))))
    lines = (" ".join(html.unescape(line).split()) for line in body.splitlines())
    return "\n".join(line for line in lines if line)


def _data(text: str) -> str:
    found = _DATA.search(text)
    assert found is not None, "the page has no data"
    return json.dumps(json.loads(found[1]), indent=1, ensure_ascii=False, sort_keys=True)


def records(run: str) -> str:
    """The frame of a run as CSV."""
    text: str = vigbench.load_results(ROOT / "results" / run).to_csv(index=False)
    return text


TEXTS: dict[str, Callable[[], str]] = {
    **{f"{run}.csv": (lambda run=run: records(run)) for run in RUNS},  # type: ignore[misc]
    **{f"{run}.page.txt": (lambda run=run: page(run)) for run in RUNS},  # type: ignore[misc]
    **{f"{run}.scaling.txt": (lambda run=run: command("scaling", f"results/{run}")) for run in RUNS},  # type: ignore[misc]
    **{
        f"{run}.compare.txt": (lambda run=run: command("compare", f"results/{run}", f"results/{run}"))  # type: ignore[misc]
        for run in RUNS
    },
    "regression.gate.txt": lambda: command(
        "gate", "--baseline", "results/regression-cpu-20261121", "--head", "results/regression-cpu-20261121"
    ),
    "two-suites.compare.txt": lambda: command(
        "compare", "results/regression-cpu-20261121", "results/training-step-cpu-20261121"
    ),
    "claims.txt": lambda: command(
        "claims", *(part for run in (*RUNS, *DUELS) for part in ("--suite-run", f"results/{run}"))
    ),
}


@contextmanager
def _in(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    chdir(folder)
    try:
        yield
    finally:
        chdir(before)


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in TEXTS.items():
        (FOLDER / name).write_text(text(), encoding="utf-8")
        print(name, flush=True)
