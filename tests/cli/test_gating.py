"""The regression gate, end to end on runs whose truth is known."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vigbench.cli import main
from vigbench.records.store import RunStore
from vigbench.runner.run import run

Invoke = Callable[..., int]
MODULE = """
import time
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, duration_s):
        super().__init__()
        self.layer, self.duration_s = nn.Conv2d(3, 4, 3), duration_s

    def forward(self, x):
        if x.device.type != "meta":
            time.sleep(self.duration_s)
        return self.layer(x).mean((2, 3))

def net(): return Net(0.05)
"""
SUITE = """
name: small
question: Does the gate work?
subjects: ['gated_net:net']
profiles:
  cpu: {resolution: 32, threads: 1, processes: 3, calibrate: true, budget: 2h, case_timeout: 20m}
"""


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("suite")
    (folder / "gated_net.py").write_text(MODULE)
    path = folder / "small.yaml"
    path.write_text(SUITE)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))  # workers inherit sys.path
        yield path


@pytest.fixture(scope="module")
def measured(suite: Path, short_sampling: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose record may decide: a busy machine's mark is taken from it, and a first attempt that it disturbed."""
    folder = run(suite, out=tmp_path_factory.mktemp("base"), device="cpu").folder
    journal = folder / "journal.jsonl"
    record = json.loads(journal.read_text().splitlines()[-1])
    journal.write_text(json.dumps({**record, "marks": []}) + "\n")
    return folder


@pytest.fixture
def baseline(measured: Path, tmp_path: Path) -> Path:
    """A copy to be changed at will."""
    return Path(shutil.copytree(measured, tmp_path / "baseline"))


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Invoke:
    def invoke(*arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", ["vigbench", "gate", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        assert isinstance(ended.value.code, int)
        return ended.value.code

    return invoke


def changed(run_folder: Path, name: str, **metrics: float) -> Path:
    """A copy of a run with other metrics."""
    copy = run_folder.parent / name
    shutil.copytree(run_folder, copy)
    journal = copy / "journal.jsonl"
    record = json.loads(journal.read_text().splitlines()[-1])
    record["metrics"] |= metrics
    journal.write_text(json.dumps(record) + "\n")
    return copy


def remove_calibration(run_folder: Path) -> None:
    for samples in (run_folder / "samples").glob("*.csv"):
        lines = samples.read_text().splitlines()
        samples.write_text("\n".join(line for line in lines if not line.startswith("calibration")) + "\n")


@pytest.mark.slow
def test_the_same_code_passes_and_growth_does_not(
    suite: Path, baseline: Path, gate: Invoke, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    remove_calibration(baseline)  # timings of two moments are not what is tested here: so none counts
    arguments = ["--suite", suite, "--baseline", baseline, "--out", tmp_path / "head", "--quiet"]
    assert gate(*arguments, "--markdown", tmp_path / "gate.md") == 0
    assert "nothing grew" in capsys.readouterr().out
    text = (tmp_path / "gate.md").read_text()
    assert "nothing grew" in text
    assert "| gated\\_net:net 32px b1 float32 1 thread |" in text
    (head,) = (tmp_path / "head").iterdir()
    calls = RunStore.open(head).records()[0].metrics.operator_calls
    assert calls is not None
    fewer = changed(baseline, "fewer", operator_calls=calls - 1, peak_memory_mib=0.001)
    assert gate("--baseline", fewer, "--head", head) == 1
    said = capsys.readouterr().out
    assert f"operator calls grew from {calls - 1} to {calls}" in said
    assert "peak memory, MiB grew from 0.001" in said
    more = changed(baseline, "more", operator_calls=calls + 1)
    assert gate("--baseline", more, "--head", head) == 0, "less is no regression"


@pytest.mark.slow
def test_a_slow_down_is_found_against_the_calibration_and_uncalibrated_timings_do_not_count(
    suite: Path, baseline: Path, gate: Invoke, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    slower = tmp_path / "slower"
    shutil.copytree(baseline, slower)
    samples = slower / "samples" / f"{RunStore.open(slower).records()[0].case_id}.csv"
    lines = samples.read_text().splitlines()
    scaled = [
        ",".join([*line.split(",")[:3], str(100 * float(line.split(",")[3]))]) if line.startswith("latency") else line
        for line in lines
    ]
    samples.write_text("\n".join(scaled) + "\n")
    assert gate("--baseline", baseline, "--head", slower) == 1
    assert "SLOWER" in capsys.readouterr().out
    remove_calibration(slower)
    assert gate("--baseline", baseline, "--head", slower) == 0
    assert "not calibrated" in capsys.readouterr().out
    assert gate("--baseline", baseline, "--head", slower, "--fail-on-inconclusive") == 3


@pytest.mark.slow
def test_timings_against_the_baseline_build_itself(
    suite: Path, baseline: Path, gate: Invoke, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import vigbench

    copy = tmp_path / "other"
    shutil.copytree(Path(vigbench.__file__).parent, copy / "vigbench", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(Path(vigbench.__file__).parents[1] / "suites", copy / "suites")
    faster = tmp_path / "faster"
    faster.mkdir()
    (faster / "gated_net.py").write_text(MODULE.replace("Net(0.05)", "Net(0.02)"))
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{copy}:{faster}" exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    effort = ["--processes", 2, "--blocks", 4]
    assert gate("--baseline", baseline, "--head", baseline, "--baseline-python", python, "--quiet", *effort) == 1
    said = capsys.readouterr().out
    assert "SLOWER" in said
    assert "interleaved with the baseline build" in said


@pytest.mark.slow
def test_what_cannot_be_compared_is_refused_before_anything_is_measured(
    suite: Path, baseline: Path, gate: Invoke, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    info = json.loads((baseline / "run.json").read_text())
    info["environment"]["torch"] = "1.0"
    (baseline / "run.json").write_text(json.dumps(info))
    arguments = ["--baseline", baseline, "--out", tmp_path / "head"]
    assert gate(*arguments, "--suite", suite) == 2
    assert "torch: 1.0 against" in capsys.readouterr().err
    assert gate(*arguments, "--suite", "smoke") == 2
    assert "is a run of suite small" in capsys.readouterr().err
    assert gate("--baseline", tmp_path / "nowhere") == 2
    assert not (tmp_path / "head").exists()
