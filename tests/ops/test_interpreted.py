"""Runs interpreted/ with Triton's interpreter, which has to be chosen before Triton is imported."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

INTERPRETED = Path(__file__).parent / "interpreted"


def run_interpreted(where: str, *arguments: str) -> None:
    """All tests in a file or folder there that `arguments` select have to pass."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(INTERPRETED / where), *arguments],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout


@pytest.mark.skipif(find_spec("triton") is None, reason="needs triton")
def test_kernels_compute_what_is_defined() -> None:
    run_interpreted(".", "-k", "lengths and 17 or recurrent and initialised or from_logits and not 400")


@pytest.mark.slow
@pytest.mark.timeout(7200)  # a few minutes on two quiet cores
@pytest.mark.parametrize("file", sorted(path.name for path in INTERPRETED.glob("test_*.py")))
@pytest.mark.skipif(find_spec("triton") is None, reason="needs triton")
def test_kernels_compute_what_is_defined_for_all_inputs(file: str) -> None:
    run_interpreted(file, "-n", "2")  # the interpreter uses one core
