"""Everything that only a GPU can show, in one folder: `nox -s gpu`, or `python -m tests.gpu.session` without nox.

Exit codes: 0 all passed; 1 something failed; 2 no CUDA device, or wrong input; 130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from datetime import date
from itertools import chain, count
from pathlib import Path
from typing import Any

from tests.gpu.session.page import GOOD
from tests.gpu.session.plan import GROUPS, begin_table, steps_of
from tests.gpu.session.steps import Step, run_steps
from tests.gpu.session.summary import Summary, difference
from vigbench.suites.duration import parse_duration

MACHINE_TIMEOUT_S = 300  # a driver may take long to answer at first, but one that hangs never does


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    machine = find_machine()
    if machine is None:
        return 2
    try:
        folder = options.out or default_folder(Path("results"), machine)
        summary = Summary(folder, machine)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    steps = steps_of(folder, options.only)
    if "tune" in options.only:
        begin_table(folder)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a lost connection does not end it
    return run(steps, summary, options.budget)


def run(steps: Sequence[Step], summary: Summary, budget_s: float) -> int:
    """Run steps; what they leave is in the summary's folder. The session's exit code."""
    whole = run_steps(steps, summary, budget_s)
    with contextlib.suppress(OSError):  # a terminal that is gone
        print(f"Summary: {summary.folder / 'summary.md'}", flush=True)
    if not whole:
        return 130
    return 0 if all(summary.rows[step.name].status in GOOD for step in steps) else 1


def find_machine() -> dict[str, Any] | None:
    """What `machine.py` says; None, and the reason on stderr, where there is no CUDA device to be used."""
    command = [sys.executable, "-m", "tests.gpu.session.machine"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=MACHINE_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        print(f"The CUDA device has not answered for {MACHINE_TIMEOUT_S} s: see nvidia-smi.", file=sys.stderr)
        return None
    if found.returncode:
        print(found.stderr, end="", file=sys.stderr)
        return None
    machine: dict[str, Any] = json.loads(found.stdout.splitlines()[-1])
    return machine


def default_folder(parent: Path, machine: dict[str, Any]) -> Path:
    """`gpu-<device>-<yyyymmdd>` of `parent`; with a number where that one is of another machine, version or commit."""
    device = re.sub(r"[^a-z0-9]+", "-", str(machine["device"]).lower().removeprefix("nvidia ")).strip("-")
    name = f"gpu-{device}-{date.today():%Y%m%d}"
    names = chain([name], (f"{name}-{number}" for number in count(2)))
    return next(parent / one for one in names if difference(parent / one, machine) is None)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="nox -s gpu --", description=__doc__)
    parser.add_argument("--budget", type=_duration, default="60m", help="time for all steps, e.g. 20m; 60m by default")
    out = (
        "folder; one that was begun on this machine at this commit is continued; results/gpu-<device>-<date> by default"
    )
    parser.add_argument("--out", type=Path, help=out)
    parser.add_argument("--only", type=_groups, default=GROUPS, help=f"some of {','.join(GROUPS)}")
    return parser


def _duration(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _groups(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in GROUPS]:
        raise argparse.ArgumentTypeError(f"there is no step {unknown[0]!r}; the steps are {', '.join(GROUPS)}")
    return names


if __name__ == "__main__":
    sys.exit(main())
