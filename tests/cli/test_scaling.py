import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import typer

from vigbench.cli.scaling import scaling
from vigbench.records.metrics import Metrics
from vigbench.records.schema import Record
from vigbench.records.store import RunStore
from vigbench.suites.case import Case

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(scaling)


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Path]:
    """Write a run of two models whose times and memory follow laws."""

    def write(name: str = "demo", **info: Any) -> Path:
        environment = {"memory_gib": {"total": 2.0, "available": 1.0}, "torch": "2.9"}
        given = {"suite": "demo", "protocol": 1, "device": "cpu", "device_name": "a CPU", "environment": environment}
        store = RunStore.create(tmp_path / name, {**given, **info})
        for subject, implementation, quadratic in (("vig", "default", 0.0), ("deit", "sdpa", 2e-5)):
            for px in (224, 384, 512, 768, 1024):
                n = (px / 16) ** 2
                value = (10 if subject == "vig" else 1) + 0.02 * n + quadratic * n * n
                case = Case(subject=subject, implementation=implementation, resolution=px)
                metrics = Metrics(latency_ms=value, peak_memory_mib=value, processes=5)
                store.append(
                    Record(
                        case_id=case.case_id,
                        case=case,
                        family="other",
                        status="ok",
                        started_at="2026-01-01T00:00:00Z",
                        metrics=metrics,
                    ),
                    (),
                )
        return store.folder

    return write


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def call(*arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", ["scaling", *map(str, arguments)])
        assert not app(standalone_mode=False)
        return capsys.readouterr().out

    return call


def test_it_says_exponents_crossovers_the_next_size_and_what_fits(
    run: Callable[..., Path], say: Callable[..., str]
) -> None:
    text = say(run())
    assert "Growth of latency_ms" in text
    assert "vig takes less time than deit@sdpa from " in text
    assert "1536 px" in text
    assert "1024 " in text.split("Largest resolution")[1]


def test_memory_is_the_run_s_or_what_is_given(run: Callable[..., Path], say: Callable[..., str]) -> None:
    folder = run()
    found = [json.loads(say(folder, "--format", "json", *more)) for more in ((), ("--memory", "4GiB"))]
    assert [one["largest_resolution"][0]["memory_mib"] for one in found] == [1024, 4096]
    unsaid = run("unsaid", environment={})
    text = say(unsaid)
    assert "unsaid does not say how much memory its device has; give --memory" in text


def test_against_keeps_one_side_and_several_runs_stay_apart(run: Callable[..., Path], say: Callable[..., str]) -> None:
    one, two = run("one"), run("two")
    found = json.loads(say(one.parent / "*", "--against", "deit", "--format", "json"))
    assert len(found["laws"]) == 4
    assert {(row["run"], row["a"], row["b"]) for row in found["crossovers"]} == {
        (name, *pair) for name in ("one", "two") for pair in (("vig", "deit@sdpa"), ("deit@sdpa", "vig"))
    }
    assert len(json.loads(say(one, two, "--format", "json"))["laws"]) == 4


def test_forms_and_files(run: Callable[..., Path], say: Callable[..., str], tmp_path: Path) -> None:
    folder, out = run(), tmp_path / "laws.csv"
    assert say(folder, "--metric", "peak_memory_mib", "--format", "csv", "--out", out) == ""
    assert list(pd.read_csv(out)["metric"]) == ["peak_memory_mib"] * 2
    assert say(folder, "--format", "markdown").count("|---") > 3


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--metric", "throughput_per_s"], "is a rate"),
        (["--metric", "latency"], "did you mean 'latency_ms'"),
        (["--against", "swin"], "There are: deit@sdpa, vig"),
        (["--memory", "16"], "write for example 8GiB"),
        (["--format", "yaml"], "choose from table, markdown, csv, json"),
        (["--out", "/proc/x/y"], "Choose another file"),
    ],
)
def test_wrong_input_says_what_to_do(
    run: Callable[..., Path], say: Callable[..., str], arguments: list[str], expected: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(expected)) as refused:
        say(run(), *arguments)
    assert "\n" not in str(refused.value)


def test_no_run_is_said(say: Callable[..., str], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="No run matches"):
        say(tmp_path / "nothing")


def test_over_ranks_a_given_time_becomes_a_table(say: Callable[..., str]) -> None:
    given = ["--ranks", "2,8", "--time", "65536=12.5", "--precision", "bf16", "--bandwidth", "25"]
    text = say(*given)
    assert "No network was measured" in text
    assert "shape 3x32x64, batch size 1, precision bfloat16, phase inference" in text
    assert re.search(r"65536 +8 +ring +25 +0.0469 +31.5 +12.5", text)
    rows = json.loads(say(*given, "--length", "1024", "--format", "json"))
    assert [(row["length"], row["ranks"], row["exchange"]) for row in rows] == [
        (1024, ranks, exchange) for ranks in (2, 8) for exchange in ("all_gather", "ring")
    ]
    assert rows[0]["faster_from_tokens"] is None
    assert say(*given, "--format", "csv").startswith("shape,batch_size,precision,phase,length")
    assert say(*given, "--format", "markdown").count("|") > 20


def test_over_ranks_a_run_is_what_was_measured(say: Callable[..., str]) -> None:
    run = Path(__file__).parents[2] / "results" / "kernels-gla-cpu-20261121"
    rows = json.loads(say(run, "--ranks", "4", "--format", "json"))
    assert {row["length"] for row in rows} == {196, 1024, 4096, 16384, 65536}
    assert any(row["faster_from_tokens"] for row in rows)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Name a run"),
        (["--time", "64=1"], "--time stands for runs, and belongs to --ranks"),
        (["--ranks", "2", "--time", "64"], "--time: '' is not a number above 0"),
        (["--ranks", "2", "--time", "many=1"], "--time: 'many' is not a whole number"),
        (["--ranks", "1", "--time", "64=1"], "--ranks: 1 is the device that was measured"),
        (["--ranks", "two", "--time", "64=1"], "--ranks: 'two' is not a whole number"),
        (["--ranks", "99", "--time", "64=1"], "--ranks: 99 ranks have no tokens each of 64"),
        (["--ranks", "2", "--time", "64=1", "--bandwidth", "0"], "--bandwidth: '0' is not a number above 0"),
        (["--ranks", "2", "--time", "64=1", "--metric", "peak_memory_mib"], "--metric: "),
        (["--ranks", "2", "--time", "64=1", "--phase", "sampling"], "--phase: 'sampling' is not allowed"),
        (["--ranks", "2", "--time", "64=1", "--shape", "3"], "--shape: "),
    ],
)
def test_over_ranks_what_is_wrong_is_named_with_its_option(
    say: Callable[..., str], arguments: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        say(*arguments)
