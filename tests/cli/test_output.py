"""What is printed reaches terminals that know few characters, and files for spreadsheets."""

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from vigbench.cli import main
from vigbench.measure import environment, settings

WriteRun = Callable[..., Path]
MODELS = {"resnet18": 10.0, "resnet50": 30.0}


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["vigbench", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


def to_ascii(monkeypatch: pytest.MonkeyPatch) -> io.TextIOWrapper:
    """No fixture: pytest puts its own streams in place after those."""
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(sys, "stderr", terminal)
    return terminal


def printed(terminal: io.TextIOWrapper) -> str:
    assert isinstance(terminal.buffer, io.BytesIO)
    return terminal.buffer.getvalue().decode("ascii")


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["report", "{run}"], 0, r"r\xe9sultat/report.html"),
        (["compare", "{run}", "{run}"], 0, "SAME"),
        (["plan", "--suite", "gr\N{LATIN SMALL LETTER O WITH DIAERESIS}sse"], 2, r"There is no suite 'gr\xf6sse'"),
        (["report", b"b\xe9".decode("utf-8", "surrogateescape")], 2, r"b\udce9 is not a run"),
    ],
)
def test_what_a_terminal_cannot_show_is_escaped(
    write_run: WriteRun, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, expected: str
) -> None:
    run = write_run("r\N{LATIN SMALL LETTER E WITH ACUTE}sultat", MODELS)
    terminal = to_ascii(monkeypatch)
    assert call(monkeypatch, *(one.format(run=run) for one in arguments)) == code
    assert expected in printed(terminal)


def test_a_process_without_streams_does_its_work(
    write_run: WriteRun, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = write_run("run", MODELS)
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert call(monkeypatch, "report", run, "--out", tmp_path / "page") == 0
    assert (tmp_path / "page" / "report.html").is_file()


@pytest.mark.slow
def test_a_run_into_a_folder_with_an_accent_ends_well(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "vigbench", "run", "--subject", "resnet18", "--resolution", "64", "--quiet"]
    options = ["--threads", "1", "--out", "r\N{LATIN SMALL LETTER E WITH ACUTE}sultats"]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONIOENCODING": "ascii"}
    result = subprocess.run(
        [*command, *options], capture_output=True, text=True, env=environ, cwd=tmp_path, timeout=300, check=False
    )
    assert result.returncode == 0, result.stderr
    assert r"Records: r\xe9sultats/" in result.stdout


def test_doctor_names_the_limits_of_control_groups(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(environment, "cpu_quota", lambda: 1.5)
    monkeypatch.setattr(settings, "cpu_quota", lambda: 1.5)
    monkeypatch.setattr(environment, "memory_limit", lambda: 2**32)
    assert call(monkeypatch, "doctor") == 0
    text = capsys.readouterr().out
    assert "vigbench uses 1 threads (a control group allows 1.5 CPUs)" in text
    assert "GiB (a control group allows 4.0 GiB); load average" in text


def test_doctor_says_beforehand_that_nothing_can_be_compiled(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from torch._inductor import config

    with config.patch({"cpp.cxx": (None, "no_such_compiler")}):
        assert call(monkeypatch, "doctor") == 0
    assert "and no_such_compiler does not run: apt-get install g++" in capsys.readouterr().out


@pytest.mark.parametrize("command", [["compare", "{run}", "{run}"], ["scaling", "{run}"]])
def test_tables_for_spreadsheets(
    command: list[str], write_run: WriteRun, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run, out = write_run("run", MODELS), tmp_path / "table.csv"
    arguments = [one.format(run=run) for one in command]
    assert call(monkeypatch, *arguments, "--format", "csv", "--csv-dialect", "excel", "--out", out) == 0
    head, first, *_ = out.read_bytes().decode("utf-16").splitlines()
    assert "subject\t" in head
    assert "resnet18" in first
    assert "." not in first


def test_a_table_for_spreadsheets_goes_where_the_output_goes(
    write_run: WriteRun, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    run = write_run("run", MODELS)
    assert call(monkeypatch, "compare", run, run, "--format", "csv", "--csv-dialect", "excel") == 0
    assert capfdbinary.readouterr().out.decode("utf-16").startswith("subject\t")


def test_records_for_spreadsheets_lie_beside_the_report(
    write_run: WriteRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run("run", MODELS)
    assert call(monkeypatch, "report", run, "--csv-dialect", "excel") == 0
    assert capsys.readouterr().out.splitlines() == [f"{run}/report.html", f"{run}/records-excel.csv"]
    assert (run / "records-excel.csv").read_bytes().decode("utf-16").count("\n") == 3


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["compare", "a", "b", "--csv-dialect", "excel"], "--csv-dialect belongs to --format csv"),
        (["compare", "a", "b", "--format", "csv", "--csv-dialect", "exel"], "did you mean 'excel'"),
        (["report", "a", "--csv-dialect", "semicolon"], "choose from standard, excel"),
        (["run", "--subject", "resnet18", "--csv-dialect", "xls"], "choose from standard, excel"),
    ],
)
def test_a_dialect_that_there_is_not_is_wrong_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str
) -> None:
    assert call(monkeypatch, *arguments) == 2
    assert expected in capsys.readouterr().err


def test_a_terminal_gets_no_table_for_spreadsheets(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = to_ascii(monkeypatch)
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    assert call(monkeypatch, "compare", "a", "b", "--format", "csv", "--csv-dialect", "excel") == 2
    assert "send it to one with > FILE" in printed(terminal)
