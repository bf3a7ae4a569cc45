"""Each axis is declared once: what is written somewhere else about an axis follows from its declaration."""

import inspect
from typing import Any

import pytest

from vigbench.cli.dueling import duel
from vigbench.cli.planning import plan
from vigbench.cli.profiling import profile
from vigbench.cli.running import run
from vigbench.suites.axes import ALL, AXES, OF_RANKS, RUN_ALONE, SLIDING, SWEPT, MemoryFormat
from vigbench.suites.case import Case
from vigbench.suites.planner import Overrides
from vigbench.suites.schema import DeviceSection, Exclusion, Suite

MODEL = {"subject": "resnet50", "resolution": 64}
# another value than the default, for each axis that is not a size
OTHER: dict[str, Any] = {
    "batch_size": 8,
    "precision": "bfloat16",
    "phase": "training",
    "compile": True,
    "cuda_graph": True,
    "memory_format": "channels_last",
    "tf32": True,
    "ranks": 4,
    "threads": 3,
}
# what means something in one phase, or over several ranks, has its own tests (test_sliding_windows.py, test_ranks.py)
PLAIN = [axis for axis in ALL if not axis.of_size and axis.name not in {*SLIDING, *OF_RANKS}]


def test_every_axis_is_known_to_this_test() -> None:
    assert {*OTHER, *SLIDING, *OF_RANKS, *(axis.name for axis in ALL if axis.of_size)} == set(AXES)


@pytest.mark.parametrize("axis", PLAIN, ids=lambda axis: axis.name)
def test_a_case_has_its_field_default_and_description(axis: Any) -> None:
    field = Case.model_fields[axis.name]
    assert (field.default, field.description) == (axis.default, axis.description)
    plain, other = Case(**MODEL), Case(**MODEL, **{axis.name: OTHER[axis.name]})
    assert plain.case_id != other.case_id
    assert axis.label(getattr(other, axis.name)) in other.label()
    assert axis.label(axis.default) in plain.label()
    assert plain.label() != other.label()
    assert axis.in_words(getattr(other, axis.name)), "a report says it"


@pytest.mark.parametrize("axis", SWEPT, ids=lambda axis: axis.name)
def test_suites_overrides_and_commands_take_it(axis: Any) -> None:
    assert axis.name in DeviceSection.model_fields
    assert axis.name in Exclusion.model_fields
    assert axis.name in Overrides.model_fields
    for command in (run, plan, duel, profile):
        names = inspect.signature(command).parameters
        without = {run: (), plan: (), duel: RUN_ALONE, profile: ("compile", "cuda_graph", *RUN_ALONE)}[command]
        assert (axis.name in names) == (axis.name not in without)


@pytest.mark.parametrize("was", [False, True])
def test_suites_and_records_from_before_memory_format_still_read(was: bool) -> None:
    now = MemoryFormat.channels_last if was else MemoryFormat.contiguous
    assert Case(**MODEL, channels_last=was).memory_format is now
    section = {"resolution": 64, "channels_last": [was], "budget": 60, "exclude": [{"channels_last": not was}]}
    suite = Suite.model_validate({"name": "a", "question": "?", "subjects": ["b"], "profiles": {"cpu": section}})
    (read,) = suite.devices.values()
    assert read.memory_format == [now]
    assert [one.memory_format for one in read.exclude] != [[now]]
    assert Suite.model_validate(suite.model_dump(mode="json")) == suite


def test_one_setting_under_both_names_is_refused_and_so_is_what_is_none() -> None:
    with pytest.raises(ValueError, match="channels_last\n  Extra inputs are not permitted"):
        Case(**MODEL, channels_last=True, memory_format="contiguous")
    section: dict[str, Any] = {"resolution": 64, "channels_last": {"not": "a flag"}, "budget": 60}
    with pytest.raises(ValueError, match="is not allowed; choose from contiguous, channels_last"):
        DeviceSection(**section)


def test_a_setting_that_nobody_declared_is_refused() -> None:
    with pytest.raises(ValueError, match="Extra inputs are not permitted"):
        Case(**MODEL, colour="red")
    with pytest.raises(ValueError, match="Extra inputs are not permitted"):
        Overrides(colour=["red"])
