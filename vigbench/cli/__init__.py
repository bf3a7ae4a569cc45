"""The command line: one file for each command. torch is imported by the commands that need it, not at start-up."""

from __future__ import annotations

import io
import os
import sys

import typer

from vigbench.cli import (
    checking,
    claiming,
    comparing,
    doctor,
    dueling,
    evaluating,
    gating,
    listing,
    planning,
    profiling,
    reporting,
    running,
    scaling,
    tuning,
)
from vigbench.cli.axes import UsageError, usage_message

_LONGEST_WORD = 255  # characters of one word in a message, which may be anything that was typed
EXIT_CODES = """Exit codes: 0 done; 1 done, but a case failed, or something is worse than before; 2 wrong input;
3 inconclusive, where that was asked for; 130 interrupted. Each command says its own."""

app = typer.Typer(
    help=f"Does linear-complexity vision pay off on this machine?\n\n{EXIT_CODES}",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("run")(running.run)
app.command("plan")(planning.plan)
app.command("compare")(comparing.compare)
app.command("duel")(dueling.duel)
app.command("gate")(gating.gate)
app.command("claims")(claiming.claims)
app.command("scaling")(scaling.scaling)
app.command("evaluate")(evaluating.evaluate)
app.command("profile")(profiling.profile)
app.command("report")(reporting.report)
app.command("list")(listing.list_)
app.command("doctor")(doctor.doctor)
app.command("check")(checking.check)
app.command("tune")(tuning.tune)


@app.callback(invoke_without_command=True)
def _root(version: bool = typer.Option(False, "--version", help="Print the version and exit.", is_eager=True)) -> None:
    if version:
        from vigbench import __version__

        print(__version__)
        raise typer.Exit


def main() -> None:
    """Entry point of `vigbench`: every wrong input ends in one line on stderr and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # else somebody who calls this has replaced it, or there is none
            stream.reconfigure(errors="backslashreplace")  # a name that cannot be printed ends no run
    try:
        code = app(standalone_mode=False)
    except UsageError as error:
        _fail(usage_message(error))
    except BrokenPipeError:  # whoever reads our output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        _fail(f"{error.filename or 'A file'}: {error.strerror or error}")
    except ValueError as error:
        _fail(_in_one_line(error))
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)
    else:
        sys.exit(code or 0)


def _in_one_line(error: ValueError) -> str:
    if type(error).__name__ != "ValidationError":
        return str(error)
    from vigbench.records.schema import first_mistake  # pydantic, which is loaded if it has raised

    return first_mistake(error)  # type: ignore[arg-type]


def _fail(message: str) -> None:
    words = (word if len(word) <= _LONGEST_WORD else f"{word[:_LONGEST_WORD]}..." for word in message.split())
    print(f"vigbench: {' '.join(words)}", file=sys.stderr)
    sys.exit(2)
