"""Writes docs/result-schema.md from the code: python -m vigbench.records.document > docs/result-schema.md"""

from __future__ import annotations

from vigbench.records.load import RUN_COLUMNS
from vigbench.records.schema import Status, columns

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
}


def document() -> str:
    """The page, in Markdown."""
    lines = [
        "# Result schema",
        "",
        "<!-- generated: python -m vigbench.records.document > docs/result-schema.md -->",
        "",
        "A run is a folder `results/<suite>-<device>-<timestamp>/`:",
        "",
        "| file | content |",
        "|---|---|",
        "| `journal.jsonl` | the truth: one JSON record a line, appended and fsynced when its case has ended |",
        "| `records.csv` | the same, tidy: one row for each case, rewritten from the journal after every case |",
        "| `samples/<case_id>.csv` | raw samples: `quantity,index,value`; `latency_ms` one synchronised call each, "
        "`queued_call_ms` (CUDA) the mean call of one block each |",
        "| `run.json` | suite, planned cases, command line, environment, start and end |",
        "| `report.html`, `figures/` | the report; `vigbench report <run>` writes it anew |",
        "",
        "`vigbench.load_results('results/*')` gives one frame over many runs: the columns "
        + ", ".join(f"`{name}` ({_RUN_MEANING[name]})" for name in RUN_COLUMNS)
        + ", then those below. What was not measured is empty, never zero.",
        "",
        "## Columns of `records.csv`",
        "",
        "| column | meaning |",
        "|---|---|",
        *(f"| `{name}` | {meaning} |" for name, meaning in columns().items()),
        "",
        "## Statuses",
        "",
        "| status | meaning |",
        "|---|---|",
        *(f"| `{status}` | {_STATUS_MEANING[status]} |" for status in Status),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    print(document())
