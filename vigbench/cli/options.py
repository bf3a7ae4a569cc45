"""Options that `run` and `plan` share, and how their texts become settings."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from vigbench.suites.axes import AXES
from vigbench.suites.axes import whole_number as whole

if TYPE_CHECKING:
    from vigbench.suites.planner import Overrides
    from vigbench.suites.shape import Shape as HeadShape

T = TypeVar("T")
_NUMBER = re.compile(r"\s*(\d{1,9}(\.\d*)?|\.\d+)\s*", re.ASCII)
MOST_THREADS, MOST_PROCESSES = 4096, 1000  # more are a slip

Suite = Annotated[str, typer.Option("--suite", "-s", help="Name of a suite (vigbench list suites), or a YAML file.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Subject = Annotated[str | None, typer.Option(help="Subjects, comma-separated: names, globs, package.module:factory.")]
Implementation = Annotated[str | None, typer.Option(help="Only these implementations, e.g. eager,sdpa.")]
Threads = Annotated[int | None, typer.Option(help="CPU threads; 0 = one per physical core.", min=0, max=MOST_THREADS)]
Processes = Annotated[int | None, typer.Option(help="Fresh worker processes for each case.", min=1, max=MOST_PROCESSES)]
Calibrate = Annotated[
    bool | None, typer.Option("--calibrate", help="A fixed workload takes turns with each case, so that runs compare.")
]
Budget = Annotated[str | None, typer.Option(help="Time for the whole run, e.g. 90s, 3m, 1h.")]
CsvDialect = Annotated[
    str, typer.Option("--csv-dialect", help="With --format csv: standard, or excel, for spreadsheets in any language.")
]
RecordsDialect = Annotated[
    str,
    typer.Option("--csv-dialect", help="standard; excel: also records-excel.csv, for spreadsheets in any language."),
]
CaseTimeout = Annotated[str | None, typer.Option(help="Time after which a case is stopped, e.g. 60s.")]


def overrides(
    *,
    subject: str | None,
    implementation: str | None,
    axes: Mapping[str, Any],
    threads: int | None,
    processes: int | None,
    calibrate: bool | None,
    budget: str | None,
    case_timeout: str | None,
) -> Overrides:
    """The typed form of the options.

    Raises:
        ValueError: naming the option, what it holds and what is allowed.
    """
    from vigbench.suites.planner import Overrides

    return Overrides(
        subject=None if subject is None else listed("--subject", subject),
        implementation=None if implementation is None else listed("--implementation", implementation),
        **axes,
        threads=threads,
        processes=processes,
        calibrate=calibrate,
        budget=None if budget is None else duration_s("--budget", budget),
        case_timeout=None if case_timeout is None else duration_s("--case-timeout", case_timeout),
    )


def require_subjects(command: str, suite: str, subject: str | None) -> None:
    """Raise ValueError, with examples, if it is not said what to measure."""
    if not suite and subject is None:
        raise ValueError(
            f"Name a suite: vigbench {command} --suite resolution-scaling (vigbench list suites shows them all). Or "
            f"name subjects: vigbench {command} --subject my_pkg.models:make_net --resolution 224,512."
        )


def duration_s(option: str, text: str) -> float:
    """Seconds of a duration such as 90s or 1h30m; ValueError names the option."""
    from vigbench.suites.duration import parse_duration

    return _one(option, text, parse_duration)


def head_shape(option: str, text: str) -> HeadShape:
    """The shape in a text such as 3x32x64; ValueError names the option."""
    from vigbench.suites.shape import parse_shape

    return _one(option, text, parse_shape)


def whole_number(option: str, text: str) -> int:
    """A whole number above 0."""
    return _one(option, text, whole)


def precision_name(option: str, text: str) -> str:
    """The name of one precision, aliases such as bf16 resolved."""
    return str(_one(option, text, AXES["precision"].read))


def share(option: str, text: str) -> float:
    """A share such as 3% or 0.03, above 0 and below 1."""

    def parse(text: str) -> float:
        number = text.removesuffix("%")
        value = float(number) / (100 if number != text else 1) if _NUMBER.fullmatch(number) else 0.0
        if not 0 < value < 1:
            raise ValueError(f"{text!r} is not a share between 0 and 1; write for example 3% or 0.03")
        return value

    return _one(option, text.strip(), parse)


def one_of_names(option: str, text: str, allowed: Sequence[str]) -> str:
    """The text, if it is one of the allowed names."""
    return _one(option, text, _choice(list(allowed), str))


def is_for_spreadsheets(dialect: str, form: str = "csv", *, to_terminal: bool = False) -> bool:
    """Whether --csv-dialect asks for `excel`.

    Args:
        dialect: what it holds.
        form: what --format holds.
        to_terminal: whether the table would be printed, which a file for spreadsheets cannot be.
    """
    if one_of_names("--csv-dialect", dialect, ("standard", "excel")) == "standard":
        return False
    if form != "csv":
        raise ValueError("--csv-dialect belongs to --format csv; add that.")
    if to_terminal and sys.stdout is not None and sys.stdout.isatty():
        raise ValueError("--csv-dialect excel makes a file, which no terminal shows: send it to one with > FILE.")
    return True


def write_or_print(option: str, path: Path | None, text: str | bytes) -> None:
    """Write the text, or a file's content, to a file, or print it. ValueError, naming the option, where that fails."""
    if path is None:
        if isinstance(text, bytes):
            sys.stdout.buffer.write(text)
        else:
            print(text)
        return
    content = text if isinstance(text, bytes) else f"{text}\n".encode(errors="backslashreplace")
    try:
        path.write_bytes(content)
    except OSError as error:
        raise ValueError(f"{option}: cannot write {path}: {error.strerror}. Choose another file.") from error


def memory_mib(option: str, text: str) -> float:
    """MiB in a size such as 8GiB, 512MiB or 16GB. ValueError, naming the option, for anything else."""
    from pydantic import ByteSize, TypeAdapter, ValidationError

    try:
        size = TypeAdapter(ByteSize).validate_python(text.strip())
    except ValidationError:
        size = ByteSize(0)
    if size <= 0 or text.strip()[-1].isdigit():  # bytes without a unit are a slip
        raise ValueError(f"{option}: {text!r} is not a size; write for example 8GiB or 512MiB.")
    return size / 2**20


def require_place(option: str, path: Path) -> None:
    """Raise ValueError, naming the option, if no file can be made there: before hours of work, not after."""
    if path.is_dir() or not path.parent.is_dir():
        raise ValueError(
            f"{option}: cannot write {path}: it is a folder, or its folder is missing. Choose another file."
        )


def listed(option: str, text: str, what: str = "name") -> list[str]:
    """The names in a text, between commas; `what` they are, for the message.

    Raises:
        ValueError: naming the option, if one is empty: a comma too many, or a name forgotten.
    """
    found = [part.strip() for part in text.split(",")]
    if not all(found):
        raise ValueError(f"{option}: a {what} is empty; write {what}s with single commas between them.")
    return found


def _one(option: str, text: str, parse: Callable[[str], T]) -> T:
    try:
        return parse(text)
    except ValueError as error:
        raise ValueError(f"{option}: {error}.") from error


def _choice(allowed: list[str], normalise: Callable[[str], str]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        from vigbench.nearest import did_you_mean

        name = normalise(text)
        if name not in allowed:
            near = did_you_mean(text, allowed).rstrip(".?")  # inside a sentence here
            raise ValueError(f"{text!r} is not allowed{near}; choose from {', '.join(allowed)}")
        return name

    return parse
