import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vigbench.records.metrics import Metrics
from vigbench.records.schema import Record
from vigbench.records.store import RunStore
from vigbench.suites.case import Case
from vigbench.suites.resolution import Resolution, mean_side


@pytest.fixture
def make_record() -> Callable[..., Record]:
    def make(resolution: Resolution, **changes: object) -> Record:
        case = Case(subject="resnet50", resolution=resolution)
        fields = {
            "case_id": case.case_id,
            "case": case,
            "family": "cnn",
            "status": "ok",
            "started_at": "2026-01-01T00:00:00+00:00",
            "metrics": Metrics(latency_ms=mean_side(resolution) / 10, samples=10),
        }
        return Record.model_validate({**fields, **changes})

    return make


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore.create(tmp_path / "run", {"suite": "smoke"})


@pytest.fixture
def rescue_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, empty, for this process and those that it starts."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    if sys.platform != "linux":
        pytest.skip("mounts a tmpfs: Linux only")
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"mounting is not permitted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
