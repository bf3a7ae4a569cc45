"""A profile is made in a worker: what the user's own code does there ends in one line, and leaves nothing."""

from pathlib import Path

import pytest

from vigbench.runner.profile import profile_subject
from vigbench.suites.case import Case

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("name", "reason"),
    [("leaves_by_itself", "SystemExit: no GPU"), ("segfaults", "SIGSEGV"), ("exits", "my last words")],
)
def test_what_ends_a_process_ends_no_command(subjects: Path, tmp_path: Path, name: str, reason: str) -> None:
    case = Case(subject=f"misbehaving:{name}", resolution=32, threads=1)
    with pytest.raises(ValueError, match=f"cannot be profiled: .*{reason}"):
        profile_subject(case, iterations=1, out=tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_a_profile_from_a_worker_is_read_back(subjects: Path, tmp_path: Path) -> None:
    stages: list[str] = []
    case = Case(subject="misbehaving:fine", resolution=32, threads=1)
    found = profile_subject(case, iterations=1, out=tmp_path, on_stage=stages.append)
    assert found.record.modules
    assert found.record.info["label"] == case.label()
    assert {"ceilings", "timing", "memory", "profile"} <= set(stages)
