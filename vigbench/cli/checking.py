"""`vigbench check`: does every operator's code compute on this device what is defined?"""

from __future__ import annotations

import json
import sys
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import typer

from vigbench.cli.options import Device, listed
from vigbench.tabulate import aligned

if TYPE_CHECKING:
    from vigbench.runner.check import Row

Operators = Annotated[str | None, typer.Option("--operator", help="Only these operators, comma-separated.")]
Implementations = Annotated[str | None, typer.Option("--implementation", help="Only these implementations.")]
Precisions = Annotated[
    str | None, typer.Option("--precision", help="float32, bfloat16, float16 (or fp32, bf16, fp16), float64.")
]
Format = Annotated[str, typer.Option("--format", help="table or json.")]
Jobs = Annotated[int, typer.Option(help="Processes side by side; 0 = as many as the cores allow.", min=0)]
HEADS = ("operator", "implementation", "precision", "", "error", "allowed", "where")
NUMBERS = (4, 5)  # of these columns
MOST_JOBS = 12  # share one GPU's memory


def check(
    operator: Operators = None,
    implementation: Implementations = None,
    precision: Precisions = None,
    device: Device = "auto",
    format_: Format = "table",
    jobs: Jobs = 0,
) -> None:
    """Compare every implementation of every operator with float64: outputs, all gradients, twice for equal bits.

    What passed is kept with the device and the versions; `vigbench doctor` shows it. Exit codes: 0 all passed that can
    run here; 1 something is wrong; 2 wrong input.
    """
    from vigbench.cli.options import one_of_names
    from vigbench.measure.settings import usable_cpus
    from vigbench.records.checks import checked_here, keep
    from vigbench.records.schema import Status
    from vigbench.runner.check import carrier, units
    from vigbench.runner.check import check as run_checks
    from vigbench.runner.machine import describe_machine
    from vigbench.suites.axes import PRECISION_ALIASES
    from vigbench.worker.describe import choose_device

    one_of_names("--format", format_, ("table", "json"))
    where = choose_device(device)
    precisions = _listed("--precision", precision)
    wanted = units(
        _listed("--operator", operator),
        _listed("--implementation", implementation),
        precisions and [PRECISION_ALIASES.get(name, name) for name in precisions],
    )
    machine = describe_machine(carrier(where))
    here = checked_here(machine["device_name"], machine["environment"])
    rows: list[Row] = []
    for row in run_checks(wanted, where, jobs or min(MOST_JOBS, usable_cpus())):
        rows.append(row)
        if row.status is not Status.unsupported:
            keep(here, {row.name: not row.failed})  # at once: a check that is cut off has checked something
        print(f"[{len(rows)}/{len(wanted)}] {_line(row)}", file=sys.stderr, flush=True)
    order = {unit.name: n for n, unit in enumerate(wanted)}
    rows.sort(key=lambda row: order[row.name])
    if format_ == "json":
        print(json.dumps({**here._asdict(), "rows": [row.to_dict() for row in rows]}, indent=1))
    else:
        print(_table(rows))
        print(_summary(rows, " ".join(filter(None, (here.device, f"torch {here.torch}", f"triton {here.triton}")))))
    if any(row.failed for row in rows):
        raise typer.Exit(1)


def _listed(option: str, text: str | None) -> list[str] | None:
    return None if text is None else listed(option, text)


def _line(row: Row) -> str:
    if row.allowed is None:
        return f"{row.name}: {row.status.value}: {row.reason}"
    verdict = "pass" if not row.failed else "FAIL"
    reason = f" ({row.reason})" if row.reason else ""
    return f"{row.name}: {verdict}, {row.error_text} of {row.allowed:.1e}, {row.where}{reason}"


def _table(rows: list[Row]) -> str:
    return aligned([HEADS, *map(_cells, _alike(rows))], right=NUMBERS)


def _cells(same: list[Row]) -> tuple[str, ...]:
    row = same[0]
    precision = "all" if len(same) > 1 else row.precision
    verdict = "pass" if row.status == "ok" else row.status.value
    if row.allowed is None:
        return row.operator, row.implementation, precision, verdict, "", "", row.reason
    where = "; ".join(filter(None, (row.where, row.reason)))
    return row.operator, row.implementation, precision, verdict, row.error_text, f"{row.allowed:.0e}", where


def _alike(rows: list[Row]) -> list[list[Row]]:
    """Rows of an implementation that cannot run for one reason, whatever the precision, are one line."""
    key = lambda row: (row.operator, row.implementation)  # noqa: E731
    found: list[list[Row]] = []
    for _, group in groupby(rows, key):
        of_one = list(group)
        together = len({(row.status, row.reason) for row in of_one}) == 1 and of_one[0].allowed is None
        found += [of_one] if together else [[row] for row in of_one]
    return found


def _summary(rows: list[Row], machine: str) -> str:
    failed = sum(row.failed for row in rows)
    ran = sum(row.status != "unsupported" for row in rows)
    verdict = "all passed" if not failed else f"{failed} FAILED"
    return f"\n{ran} of {len(rows)} can run here, {verdict} ({machine}, {sum(row.samples for row in rows)} calls)."
