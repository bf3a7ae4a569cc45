import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

RESULTS = Path(__file__).parents[2] / "results"
RUN, DUEL = RESULTS / "regression-cpu-20261121", RESULTS / "duel-vig-t-deit-t-1024-cpu-20261121-0758"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder: a finished run `good`, a duel, a file and a folder."""
    for source, name in ((RUN, "good"), (DUEL, "fight")):
        shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("figures", "report.html"))
    (tmp_path / "afile").write_text("x")
    (tmp_path / "adir").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path
