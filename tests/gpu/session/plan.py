"""Which steps a GPU session has, and what each of them runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from tests.gpu.session.steps import Step
from tests.gpu.session.summary import faults_of_check
from vigbench.records.files import write_atomically

GROUPS = ("check", "tests", "tune", "suites")
SUITES = {
    "smoke": 3.0,
    "at-its-best": 6.0,
    "resolution-scaling": 9.0,
    "kernels-gla": 6.0,
    "training-step": 3.0,
    "diffusion-scaling": 3.0,
    "volumes": 3.5,
    "volume-scan": 1.5,
    "sequence-parallel": 1.5,
}
RUN_SHARE = 0.85  # of a suite's limit is its run's budget: the last case and the report come after that
TEST_TIMEOUT_S = 300  # of one test
VIGBENCH = (sys.executable, "-m", "vigbench")


def steps_of(folder: Path, groups: Sequence[str] = GROUPS) -> list[Step]:
    """The steps of a session in `folder`; their shares are minutes of an hour."""
    check = [*VIGBENCH, "check", "--device", "cuda", "--format", "json"]
    tune = [*VIGBENCH, "tune", "--out", str(folder / "tuned.json")]
    tests = partial(_pytest, folder)
    side_by_side = {"OMP_NUM_THREADS": "1"}  # threads that wait for a busy core cost more than they compute
    steps = [
        Step("check", "check", 3.0, lambda limit_s: check, "check.json", faults_of_check),
        Step(
            "correctness",
            "tests",
            8.0,
            tests("correctness", "gpu and not alone", processes()),
            environment=side_by_side,
        ),
        Step("timing", "tests", 6.0, tests("timing", "gpu and alone", 1)),
        Step("tune", "tune", 8.0, lambda limit_s: tune, open_ended=True),
        *(Step(name, "suites", share, partial(_run, folder, name)) for name, share in SUITES.items()),
    ]
    return [step for step in steps if step.group in groups]


def begin_table(folder: Path) -> None:
    """Start a session's table of kernel settings as the package's, which it can then replace."""
    from vigbench.ops.gla.kernels.settings import TABLE  # imports torch

    if not (folder / "tuned.json").exists():
        write_atomically(folder / "tuned.json", TABLE.read_text("utf-8"))


def processes() -> int:
    """How many processes share the GPU in tests: its memory has to hold the tests of all of them."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 2
    return min(8, max(1, cores // 2))


def _pytest(folder: Path, name: str, marks: str, count: int) -> Callable[[float], list[str]]:
    """One process too is xdist's: what a test breaks, another process continues."""
    files = [str(path) for path in sorted(Path("tests").rglob("test_*.py")) if "mark.gpu" in path.read_text("utf-8")]
    command = [sys.executable, "-m", "pytest", "-m", marks, "-n", str(count), "--dist", "worksteal"]
    command += ["--max-worker-restart", "100", "-v", "--tb", "short", "-p", "no:cacheprovider"]
    command += ["-p", "tests.gpu.session.failures", "--failures", str(folder / "failures" / f"{name}.jsonl")]
    # a warning of another version fails no test here; only ending its process ends a wait for a device that hangs
    command += ["-W", "default", "-o", f"timeout={TEST_TIMEOUT_S}", "-o", "timeout_method=thread"]
    return lambda limit_s: [*command, *files]


def _run(folder: Path, suite: str, limit_s: float) -> list[str]:
    budget = f"{max(1.0, RUN_SHARE * limit_s):.0f}s"
    where = ["--device", "cuda", "--out", str(folder / "runs"), "--quiet"]
    return [*VIGBENCH, "run", "--suite", suite, "--budget", budget, *where]
