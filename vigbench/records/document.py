"""Writes docs/result-schema.md from the code: python -m vigbench.records.document > docs/result-schema.md"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from vigbench.records.accuracy import COLUMNS as PREDICTIONS
from vigbench.records.accuracy import INFO_FILE as ACCURACY_INFO
from vigbench.records.accuracy import TABLE_FILE, AccuracyRow, predictions_name
from vigbench.records.duel import INFO as DUEL_INFO
from vigbench.records.fingerprint import FIELDS
from vigbench.records.load import RUN_COLUMNS
from vigbench.records.metrics import COLUMNS
from vigbench.records.profile import FILES
from vigbench.records.schema import Status, columns
from vigbench.tabulate import markdown

_STATUS_MEANING = {
    Status.ok: "measured",
    Status.out_of_memory: "the device's memory, or the cap that protects the CPU's, was used up",
    Status.timeout: "stopped at `case_timeout`",
    Status.crashed: "the worker process died before it had a result",
    Status.wrong_result: "the output is not finite, or not what the reference computes; never timed",
    Status.unsupported: "this subject cannot be measured with these settings, or here",
    Status.pruned: "not tried: a smaller case of the series failed for its size, or the budget was spent",
    Status.error: "the subject raised an exception",
}
_RUN_MEANING = {
    "run": "folder name of the run",
    "suite": "name of the suite",
    "protocol": "version of docs/measurement.md",
    "device_name": "processor (and threads) or GPU",
    "torch_version": "version of torch",
    "fingerprint": "hash of what changes a number's meaning, see below",
}
_RUN_FILES = (
    ("`journal.jsonl`", "the truth: one JSON record a line, appended and fsynced when its case has ended"),
    (
        "`records.csv`",
        "the same, tidy: one row for each case, appended when it has ended; written anew from the journal when a run "
        "is resumed",
    ),
    (
        "`records-excel.csv`",
        "with `--csv-dialect excel`: the columns of `vigbench.load_results` for a spreadsheet; nothing reads it again",
    ),
    (
        "`samples/<case_id>.csv`",
        "raw samples: `quantity,process,index,value`; `process` counts worker processes from 0 (files of earlier "
        "versions lack it: one process); `latency_ms` one synchronised call each, `queued_call_ms` (CUDA) the mean "
        "call of one block each, a training step's `forward_ms`, `backward_ms` and `optimizer_ms` one part each",
    ),
    (
        "`samples/<case_id>.attempt<N>.csv`",
        "the same for attempt N, which was contended and measured again",
    ),
    (
        "`operators/<case_id>.csv`",
        "what one iteration ran: `kind,name,calls`; `kind` is `operator` (torch) or `kernel` (CUDA)",
    ),
    (
        "`run.json`",
        "suite, planned cases, command line, environment (the machine, the software, and the limits of control groups: "
        "`cpu.quota` in CPUs, `memory_gib.limit`), start and end; `id` is random",
    ),
    ("`run.lock`", "while a process writes to the run: its number"),
    ("`report.html`, `figures/`", "the report; `vigbench report <run>` writes it anew"),
)


def document() -> str:
    """The page, in Markdown."""
    lines = [
        "# Result schema",
        "",
        "<!-- generated: python -m vigbench.records.document > docs/result-schema.md -->",
        "",
        "A run is a folder `results/<suite>-<device>-<timestamp>/`:",
        "",
        markdown(("file", "content"), _RUN_FILES),
        "",
        "`vigbench.load_results('results/*')` gives one frame over many runs: the columns "
        + ", ".join(f"`{name}` ({_RUN_MEANING[name]})" for name in RUN_COLUMNS)
        + ", then those below. What was not measured is empty, never zero.",
        "",
        "If the folder cannot be written (disk full, read-only), the record at hand goes to "
        "`vigbench-rescue-<id>.jsonl` in the folder for temporary files; `vigbench run --resume <run>` brings it back.",
        "",
        "## Fingerprint",
        "",
        "What changes a number's meaning, from `run.json`; numbers compare only where all of it is equal. The code is "
        "not in it: it is what is compared.",
        "",
        markdown(("field", "why"), [(f"`{name}`", field.why) for name, field in FIELDS.items()]),
        "",
        "## Columns of `records.csv`",
        "",
        "A case that several processes measured has one row: the fourth column says what their values make together. "
        "Where they differ in what should be the same in each, the case is an `error`.",
        "",
        markdown(
            ("column", "unit", "meaning", "of several processes"),
            [(f"`{name}`", _unit(name), meaning, _combine(name)) for name, meaning in columns().items()],
        ),
        "",
        "## Statuses",
        "",
        markdown(("status", "meaning"), [(f"`{status}`", _STATUS_MEANING[status]) for status in Status]),
        *_other_folders(),
    ]
    return "\n".join(lines)


def _unit(name: str) -> str:
    return COLUMNS[name].unit.of() if name in COLUMNS else ""


def _combine(name: str) -> str:
    return COLUMNS[name].combine if name in COLUMNS else ""


def _other_folders() -> list[str]:
    return [
        "",
        "## Other folders",
        "",
        "What the other commands that measure leave in `results/`. Each also has a JSON file with its settings, the "
        "command line and the machine.",
        "",
        markdown(
            ("folder", "file", "content"), [(folder, f"`{file}`", content) for folder, file, content in _other_files()]
        ),
    ]


def _other_files() -> Iterator[tuple[str, str, str]]:
    """(folder, file, content) of duels, evaluations and profiles; columns are read off the code."""
    duel, accuracy, profiled = "`duel-<time>`", "`accuracy-<subject>-<device>-<time>`", "`profile-<subject>-...`"
    yield duel, DUEL_INFO, "both cases, the effort, and when it has ended the result: ratio, interval, verdict"
    yield duel, "blocks.csv", "every timed call: `pair`, `block`, `side` (base or head), `call`, `duration_s`"
    yield accuracy, ACCURACY_INFO, "subject, checkpoint with its SHA-256, images, transforms, sessions"
    yield accuracy, TABLE_FILE, f"one row for each finished resolution: {_names(AccuracyRow)}"
    yield (
        accuracy,
        predictions_name(224).replace("224", "<resolution>"),
        f"one row for each image: {', '.join(f'`{name}`' for name in PREDICTIONS)}, indices of classes, best first",
    )
    yield profiled, "profile.json", "settings, ceilings, totals, and the largest costs in words"
    for name, row in FILES.items():
        yield profiled, f"{name}.csv", f"{(row.__doc__ or '').split('.')[0].split(';')[0]}: {_names(row)}"
    yield profiled, "trace.json.gz", "for Perfetto or chrome://tracing"
    yield profiled, "figures/", "modules, memory and roofline as PNG, SVG and PDF"


def _names(row: type[Any]) -> str:
    return ", ".join(f"`{field.name}`" for field in fields(row))


if __name__ == "__main__":
    print(document())
