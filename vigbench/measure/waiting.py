"""How the threads of a worker wait for each other: spinning for some rounds, then asleep; chosen by the load there is.

On a quiet machine spinning saves a sleep and a wake-up in each gap of a model. Where others want the cores too, a
thread that spins for one that is not running costs both; docs/decisions.md has the figures behind the numbers here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from time import sleep

import psutil

# others that want a core, for each core -> rounds that libgomp spins, which torch's wheels bring; by itself 300,000
ROUNDS = ((0.25, 30_000), (1.5, 20_000), (float("inf"), 1_000))
_SAID_BY_USER = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
_LOOKS, _PAUSE_S = 20, 0.01

Variables = Mapping[str, str]


def waiting_for(neighbours: float, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Environment variables of a worker beside so many others for each core; what the user has set holds always."""
    said = {name: environment[name] for name in _SAID_BY_USER if environment.get(name)}
    rounds = next(rounds for most, rounds in ROUNDS if neighbours < most or most == float("inf"))
    return said or {"GOMP_SPINCOUNT": str(rounds)}


def waiting_here() -> str:
    """How this process waits, as a record has it: `GOMP_SPINCOUNT=30000`; empty where nothing was said."""
    return " ".join(f"{name}={os.environ[name]}" for name in _SAID_BY_USER if os.environ.get(name))


def neighbours_per_core(stat: Path = Path("/proc/stat")) -> float:
    """How many others want a core now, for each core of the machine: the mean of some looks at the queue."""
    cores = psutil.cpu_count() or 1
    if not stat.is_file():
        return psutil.cpu_percent(interval=_LOOKS * _PAUSE_S) / 100
    found = []
    for _ in range(_LOOKS):
        sleep(_PAUSE_S)
        line = next(line for line in stat.read_text().splitlines() if line.startswith("procs_running"))
        found.append(int(line.split()[1]) - 1)  # without this process, which is looking
    return max(0.0, sum(found) / len(found)) / cores
