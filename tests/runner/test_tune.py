"""Tuning: what it finds is the best of what it may choose, what it keeps is read again, wrong input is named."""

from collections.abc import Callable
from importlib.util import find_spec

import pytest

if find_spec("triton") is None:
    pytest.skip("needs triton", allow_module_level=True)

import torch
from hypothesis import given
from hypothesis import strategies as st

from vigbench.ops.gla.kernels.settings import GlaSettings, TunedRow, default_settings, format_rows, parse_rows
from vigbench.runner.tune import CHOICES, IsolatedTrial, descend, tune
from vigbench.suites.axes import Device
from vigbench.worker.workload import Workload

START = default_settings("9.0", torch.bfloat16, "forward")
TASK = Workload("bfloat16", 3, 32, 64, 4096, 32, "forward")


def distance_from(target: GlaSettings, broken: set[int]) -> Callable[[GlaSettings], float | None]:
    """Seconds that grow with the number of settings that differ; chunks in `broken` do not run."""

    def seconds(settings: GlaSettings) -> float | None:
        differing = sum(a != b for a, b in zip(settings, target, strict=True))
        return None if settings.chunk in broken else 1.0 + differing

    return seconds


@given(st.builds(GlaSettings, **{name: st.sampled_from(values) for name, values in CHOICES.items()}))
def test_separable_costs_are_minimised(target: GlaSettings) -> None:
    found = descend([START], distance_from(target, set()))
    assert found is not None
    assert found.settings == target
    assert found.best_s == 1.0
    assert found.default_s >= found.best_s


def test_settings_that_do_not_run_are_never_chosen() -> None:
    found = descend([START], distance_from(START._replace(chunk=128, warps=2), {128}))
    assert found is not None
    assert (found.settings.chunk, found.settings.warps) == (64, 2)


def test_noise_below_the_gain_changes_nothing() -> None:
    found = descend([START], lambda settings: 1.0 if settings == START else 0.99)
    assert found is not None
    assert found.settings == START


def test_nothing_is_found_where_the_start_does_not_run() -> None:
    assert descend([START], lambda _: None) is None


def test_another_form_is_found_though_no_single_change_leads_to_it() -> None:
    """A walk with a few chunks to a segment is slow, and so is a whole one with two passes' other settings."""
    starts = TASK.starts("9.0")
    walk = next(one for one in starts if one.walk and one.warps == 2)
    found = descend(starts, lambda one: 0.5 if one == walk else 1.0)
    assert found is not None
    assert found.settings == walk


@pytest.mark.parametrize("pass_", ["forward", "backward"])
@pytest.mark.parametrize("capability", ["8.0", "9.0", "10.0", "gfx942"])
def test_a_search_begins_with_what_nobody_has_tuned(capability: str, pass_: str) -> None:
    workload = Workload("bfloat16", 3, 32, 64, 4096, 32, pass_)  # type: ignore[arg-type]
    starts = workload.starts(capability)
    assert starts[0] == workload.default(capability)
    assert len(starts) == len(set(starts))
    assert {one.walk for one in starts} == ({False} if (capability, pass_) == ("gfx942", "backward") else {False, True})


def test_each_candidate_is_measured_once() -> None:
    asked: list[GlaSettings] = []
    descend([START], lambda settings: asked.append(settings) or float(sum(settings)))  # type: ignore[func-returns-value]
    assert len(asked) == len(set(asked))


def test_a_table_is_read_as_it_was_written() -> None:
    rows = {TASK.key("9.0"): TunedRow(START, {"device": "a GPU", "best_ms": 0.1})}
    assert parse_rows(format_rows(rows)) == rows
    assert parse_rows(format_rows({})) == {}


@pytest.mark.parametrize("text", ["{", '[{"key": {}}]', '[{"settings": {"chunk": 1}}]'])
def test_anything_else_is_not_a_table(text: str) -> None:
    with pytest.raises(ValueError, match="not a tuned table"):
        parse_rows(text)


def test_only_a_gpu_can_be_tuned() -> None:
    with pytest.raises(ValueError, match="no CUDA device"):
        next(tune([TASK], torch.device("cpu")))


def test_what_is_forbidden_is_never_tried() -> None:
    backward = Workload("bfloat16", 3, 32, 64, 4096, 32, "backward")
    asked: list[GlaSettings] = []
    descend(
        backward.starts("9.0"),
        lambda settings: asked.append(settings) or 1.0 / settings.chunk,  # type: ignore[func-returns-value]
        lambda settings: backward.allows("9.0", settings),
    )
    assert asked
    assert max(settings.chunk for settings in asked) < 64


def test_a_candidate_that_ends_its_process_costs_one_process() -> None:
    """On a CPU every launch fails: each candidate breaks its process, and the search goes on."""
    small = Workload("float32", 1, 16, 16, 32, 1, "forward")
    with IsolatedTrial(small, Device.cpu) as trial:
        first, second = small.default("9.0"), small.default("9.0")._replace(chunk=32)
        assert trial.seconds(first) is None
        assert trial.seconds(second) is None
        assert set(trial.crashed) == {first, second}
        assert all(trial.crashed.values())
