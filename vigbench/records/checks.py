"""Which operators' code has passed `vigbench check`, with which device and versions: kept for the user, not a run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from vigbench.records.files import write_atomically
from vigbench.records.fingerprint import code_hash


class Checked(NamedTuple):
    """What a check depends on. `operators` hashes the operators' code, `driver` is empty on a CPU."""

    device: str
    driver: str
    torch: str
    triton: str
    operators: str


def checked_here(device_name: str, environment: Mapping[str, Any]) -> Checked:
    """From a run's `device_name` and `environment`."""
    gpu, packages = environment.get("gpu") or {}, environment.get("packages") or {}
    name = device_name.partition(" (")[0]  # without the number of threads
    return Checked(
        name,
        str(gpu.get("driver", "")),
        str(environment["torch"]),
        str(packages.get("triton", "")),
        code_hash("ops"),
    )


def checks_file() -> Path:
    """Where passes are kept: $XDG_CACHE_HOME/vigbench/checks.json, as a rule ~/.cache/vigbench/checks.json."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "vigbench" / "checks.json"


def passed(here: Checked) -> set[str]:
    """operator/implementation/precision of all that has passed with these versions; empty where nothing is known."""
    return {name for name, good in _read().get(_key(here), {}).items() if good}


def keep(here: Checked, results: Mapping[str, bool]) -> None:
    """Add results by operator/implementation/precision; a later result replaces an earlier one."""
    known = _read()
    known[_key(here)] = {**known.get(_key(here), {}), **results}
    checks_file().parent.mkdir(parents=True, exist_ok=True)
    write_atomically(checks_file(), json.dumps(known, indent=1, sort_keys=True) + "\n")


def unchecked(here: Checked, wanted: Iterable[str]) -> list[str]:
    """Of operator/implementation/precision those that have not passed."""
    return sorted(set(wanted) - passed(here))


def _key(here: Checked) -> str:
    return " | ".join(f"{name} {value}" for name, value in here._asdict().items())


def _read() -> dict[str, dict[str, bool]]:
    try:
        known: dict[str, dict[str, bool]] = json.loads(checks_file().read_text("utf-8"))
    except (OSError, ValueError):  # nothing kept yet, or a file that nobody can read: then nothing has passed
        return {}
    return known if isinstance(known, dict) else {}
