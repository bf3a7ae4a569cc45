"""The command of a GPU session: what it runs, where, and what it says where there is no GPU."""

import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from tests.gpu.session import __main__ as session
from tests.gpu.session.page import Row, Status
from tests.gpu.session.plan import GROUPS, SUITES, begin_table, processes, steps_of
from tests.gpu.session.summary import Summary
from vigbench.ops.gla.kernels.settings import TABLE, parse_rows
from vigbench.suites.duration import parse_duration
from vigbench.suites.loader import list_suites

ROOT = Path(__file__).parents[3]
MACHINE = {"device": "NVIDIA H100 80GB HBM3", "driver": "1", "torch": "2", "triton": "3", "python": "3", "commit": "c"}


def test_without_a_device_it_says_what_to_do_and_makes_no_folder(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.gpu.session", "--out", str(tmp_path / "out")]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    found = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 2
    assert "sees no CUDA device" in found.stderr
    assert "nvidia-smi" in found.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("arguments", [["--only", "check,nothing"], ["--budget", "soon"]])
def test_wrong_input_is_named(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        session.main(arguments)
    assert ended.value.code == 2
    assert "there is no step 'nothing'" in (said := capsys.readouterr().err) or "write for example 90s" in said


def test_only_the_groups_that_are_named_run(tmp_path: Path) -> None:
    assert [step.group for step in steps_of(tmp_path, ["tune", "check"])] == ["check", "tune"]
    assert {step.group for step in steps_of(tmp_path)} == set(GROUPS)


def test_every_test_that_needs_a_gpu_is_in_one_of_the_two_steps(tmp_path: Path) -> None:
    together, alone = (step.command(60) for step in steps_of(tmp_path, ["tests"]))
    assert "gpu and not alone" in together
    assert "gpu and alone" in alone
    assert together[together.index("-n") + 1] == str(processes())
    assert alone[alone.index("-n") + 1] == "1"
    files = {one for one in together if one.endswith(".py")}
    assert files == {one for one in alone if one.endswith(".py")}
    assert {"tests/gpu/test_kernels.py", "tests/ops/gla/test_triton_recurrent.py"} <= files


def test_a_suite_s_run_ends_before_its_step_is_ended(tmp_path: Path) -> None:
    for step in steps_of(tmp_path, ["suites"]):
        command = step.command(100.0)
        assert step.name in list_suites()
        assert command[command.index("--suite") + 1] == step.name
        assert command[command.index("--out") + 1] == str(tmp_path / "runs")
        assert 50 < parse_duration(command[command.index("--budget") + 1]) < 100
        assert parse_duration(step.command(0.01)[command.index("--budget") + 1]) > 0
    assert [step.name for step in steps_of(tmp_path, ["suites"])] == list(SUITES)


def test_tuning_adds_to_a_copy_of_the_package_s_table(tmp_path: Path) -> None:
    (step,) = steps_of(tmp_path, ["tune"])
    table = tmp_path / "tuned.json"
    assert step.command(60)[-2:] == ["--out", str(table)]
    begin_table(tmp_path)
    assert parse_rows(table.read_text()) == parse_rows(TABLE.read_text())
    table.write_text("[]")
    begin_table(tmp_path)
    assert table.read_text() == "[]", "what an earlier session has found stays"


def test_the_folder_is_named_after_the_device_and_another_commit_gets_another(tmp_path: Path) -> None:
    name = f"gpu-h100-80gb-hbm3-{date.today():%Y%m%d}"
    assert session.default_folder(tmp_path, MACHINE) == tmp_path / name
    Summary(tmp_path / name, MACHINE).set("check", Row(Status.passed))
    assert session.default_folder(tmp_path, MACHINE) == tmp_path / name
    assert session.default_folder(tmp_path, {**MACHINE, "commit": "d"}) == tmp_path / f"{name}-2"


def test_a_folder_of_another_commit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Summary(tmp_path, MACHINE).set("check", Row(Status.passed))
    monkeypatch.setattr(session, "find_machine", lambda: {**MACHINE, "commit": "d"})
    assert session.main(["--out", str(tmp_path)]) == 2
    assert "results of another commit. Choose another folder with --out" in capsys.readouterr().err
    assert json.loads((tmp_path / "summary.json").read_text())["machine"]["commit"] == "c"
