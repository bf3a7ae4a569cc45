"""The command beside a case plans this case and no other."""

from __future__ import annotations

import shlex
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from vigbench.cli import app
from vigbench.report.page.repeat import run_options, setting_options, size_option, subject_options
from vigbench.report.rows import read_cases
from vigbench.suites.case import Case

MODELS = [
    ("vig_tiny_patch16_224", "torch_chunk"),
    ("deit_tiny_patch16_224", "eager"),
    ("deit_tiny_patch16_224", "sdpa"),
    ("resnet50", "default"),
]
SHARED = {
    "batch_size": st.integers(1, 512),
    "precision": st.sampled_from(["float32", "bfloat16"]),
    "threads": st.integers(0, 8),
    "compile": st.booleans(),
}
model_cases = st.builds(
    lambda named, flags, **rest: Case(subject=named[0], implementation=named[1], **flags, **rest),
    named=st.sampled_from(MODELS),
    flags=st.fixed_dictionaries({"channels_last": st.booleans(), "tf32": st.booleans(), "cuda_graph": st.booleans()}),
    phase=st.sampled_from(["inference", "training", "training_step"]),
    resolution=st.sampled_from([224, 384, 1024]),
    **SHARED,
)
operator_cases = st.builds(
    lambda named, **rest: Case(subject=named[0], implementation=named[1], **rest),
    named=st.sampled_from([("gla", "torch_chunk"), ("gla", "reference"), ("attention", "sdpa")]),
    length=st.integers(1, 65536),
    heads=st.integers(1, 12),
    key_dim=st.sampled_from([16, 32]),
    value_dim=st.sampled_from([32, 64]),
    phase=st.sampled_from(["inference", "training"]),
    **SHARED,
)

volume_cases = st.builds(
    Case,
    subject=st.just("glims"),
    implementation=st.sampled_from(["eager", "sdpa"]),
    phase=st.sampled_from(["inference", "sliding_window"]),
    resolution=st.sampled_from([96, 128]),
    roi=st.sampled_from([32, 96, "96x96x64"]),
    overlap=st.sampled_from([0.25, 0.5]),
    weighting=st.sampled_from(["constant", "gaussian"]),
    window_batch=st.integers(1, 4),
    gather=st.sampled_from(["device", "host"]),
    **SHARED,
)


def planned(command: str) -> list[str]:
    """Ids of the cases that a command would measure, as `vigbench plan` prints them."""
    program, run, *options = shlex.split(command)
    assert (program, run) == ("vigbench", "run")
    result = CliRunner().invoke(app, ["plan", *options], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    cases = [line.split()[0] for line in result.output.splitlines() if "  about " in line]
    assert f"{len(cases)} cases on" in result.output
    return cases


def repeat_command(case: Case, run_info: dict[str, Any] | None = None) -> str:
    """The pieces, joined as the page's script joins them."""
    (row,) = read_cases(pd.DataFrame([{"run": "r", "status": "ok", **case.model_dump(mode="json")}])).rows
    size = f"{size_option(row['setting'])} {row['extent']}"
    return f"vigbench run {subject_options(row)} {size} {setting_options(row)} {run_options(run_info or {})}".rstrip()


@pytest.mark.slow
@given(case=model_cases | operator_cases | volume_cases)
@settings(max_examples=16)
def test_the_command_plans_exactly_this_case(case: Case) -> None:
    assert planned(repeat_command(case)) == [case.case_id]


def test_windows_are_said_where_there_are_some() -> None:
    pytest.importorskip("monai")
    whole = repeat_command(Case(subject="glims", implementation="sdpa", resolution=96))
    assert not {"--roi", "--overlap", "--weighting", "--window-batch", "--gather"} & set(shlex.split(whole))
    case = Case(subject="glims", implementation="sdpa", resolution=96, phase="sliding_window", roi="64x64x32")
    words = shlex.split(repeat_command(case))
    assert words[words.index("--roi") + 1] == "64x64x32"
    assert planned(repeat_command(case)) == [case.case_id]


@given(name=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1))
@settings(max_examples=100)
def test_a_name_is_one_word_of_the_command(name: str) -> None:
    words = shlex.split(repeat_command(Case(subject=name, resolution=224)))
    assert words[words.index("--subject") + 1] == name
    assert words[words.index("--resolution") + 1] == "224"


def test_how_the_run_sampled_is_repeated_too() -> None:
    case = Case(subject="resnet50", resolution=224)
    plain = repeat_command(case, {"processes": 1, "calibrate": False, "case_timeout_s": 180.0, "budget_s": 180.0})
    assert plain == repeat_command(case)
    command = repeat_command(case, {"processes": 3, "calibrate": True, "case_timeout_s": 900.0, "budget_s": 3600.0})
    assert command == f"{plain} --processes 3 --calibrate --case-timeout 900s --budget 3600s"


def test_a_cuda_case_names_no_threads() -> None:
    command = repeat_command(Case(subject="resnet50", resolution=224, device="cuda", threads=4))
    assert command.endswith("--device cuda")
    assert "--threads" not in command
