"""What malloc does with memory that a model has freed: workers keep it, so that no call fetches the same pages anew.

By itself glibc returns it to the kernel or keeps it by what happens to lie above it on the heap, which is another thing
in each model and build: up to a third of a call's time (docs/decisions.md).
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import PurePath

# 32 MiB is the most that glibc takes, and where its own moving threshold ends; what is larger is fetched in every call
_KEEPS = {"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**40)}


def keeping_memory(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Environment variables of a worker that keeps what it frees; none without glibc, or where the user has said it."""
    said = any(environment.get(name) for name in _KEEPS) or "glibc.malloc" in environment.get("GLIBC_TUNABLES", "")
    return {} if said or platform.libc_ver()[0] != "glibc" else dict(_KEEPS)


def allocation_here(environment: Mapping[str, str] = os.environ) -> str:
    """What this process's allocator was told, as a record has it; empty where nothing was said."""
    found = {name: value for name, value in environment.items() if value and name.startswith("MALLOC_")}
    if "glibc.malloc" in (tunables := environment.get("GLIBC_TUNABLES", "")):
        found["GLIBC_TUNABLES"] = tunables
    if libraries := environment.get("LD_PRELOAD", "").replace(":", " ").split():  # by name: a path may hold a user's
        found["LD_PRELOAD"] = ":".join(PurePath(library).name for library in libraries)
    return " ".join(f"{name}={value}" for name, value in sorted(found.items()))
