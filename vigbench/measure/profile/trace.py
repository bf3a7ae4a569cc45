"""The trace file for chrome://tracing and Perfetto."""

from __future__ import annotations

import gzip
import json
import os
import tempfile
from pathlib import Path
from typing import Any

_ABOUT_THE_MACHINE = ("host_name", "traceName", "trace_id")  # a file that is passed on names no machine and no folder


def write_trace(profiler: Any, path: Path) -> int:
    """Write the profiler's trace as gzipped JSON, and read it back; returns the number of its events.

    Args:
        profiler: a finished `torch.profiler.profile`.
        path: `<name>.json.gz`.

    Raises:
        OSError: if it cannot be written.
    """
    descriptor, plain = tempfile.mkstemp(suffix=".json")  # the profiler cannot say why a file could not be written
    os.close(descriptor)
    try:
        profiler.export_chrome_trace(plain)
        trace = json.loads(Path(plain).read_text(encoding="utf-8", errors="replace"))
    finally:
        Path(plain).unlink(missing_ok=True)
    for key in _ABOUT_THE_MACHINE:
        trace.pop(key, None)
    with gzip.open(path, "wt", encoding="utf-8", compresslevel=5) as file:
        file.write(json.dumps(trace))  # dump writes piece by piece, ten times as slow
    return len(read_trace(path))


def read_trace(path: Path) -> list[dict[str, Any]]:
    """The events of a trace file. ValueError if it is none."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        events = json.load(file).get("traceEvents")
    if not isinstance(events, list) or not events:
        raise ValueError(f"{path} is no trace: it holds no traceEvents.")
    return events
