import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

RESULTS = Path(__file__).parents[2] / "results"
RUN, DUEL = RESULTS / "regression-cpu-20261121", RESULTS / "duel-vig-t-deit-t-1024-cpu-20261121-0758"


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once: what is refused leaves it as it was."""
    folder = tmp_path_factory.mktemp("bad_inputs")
    for source, name in ((RUN, "good"), (DUEL, "fight")):
        shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("figures", "report.html"))
    (folder / "afile").write_text("x")
    (folder / "adir").mkdir()
    return folder


@pytest.fixture
def here(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder: a finished run `good`, a duel `fight`, a file and a folder; a test may make `bad`."""
    monkeypatch.chdir(prepared)
    yield prepared
    shutil.rmtree("bad", ignore_errors=True)
