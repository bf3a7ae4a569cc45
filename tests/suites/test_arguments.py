"""Arguments of a subject's constructor: part of the case, and of everything that tells cases apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigbench.suites.arguments import args_of, read_args, with_args
from vigbench.suites.axes import Device
from vigbench.suites.case import Case
from vigbench.suites.planner import Overrides, plan
from vigbench.suites.schema import Suite

PLAIN = Case(subject="resnet18", resolution=64)
NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True).filter(
    lambda name: name not in ("img_size", "resolution", "in_chans")
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()


@given(st.dictionaries(NAMES, SCALARS | st.lists(SCALARS), max_size=4))
def test_the_text_of_arguments_reads_back_and_knows_no_order(args: dict[str, object]) -> None:
    text = read_args(args)
    assert args_of(text) == args
    assert read_args(text) == text == read_args(dict(reversed(args.items())))


def test_they_are_part_of_a_case_and_without_them_nothing_changes() -> None:
    grey = PLAIN.model_copy(update={"args": read_args({"num_classes": 10, "in_chans": 1})})
    assert (PLAIN.args, PLAIN.case_id) == ("", Case(subject="resnet18", resolution=64, args={}).case_id)
    assert grey.args == '{"in_chans": 1, "num_classes": 10}'
    assert grey.case_id != PLAIN.case_id
    assert grey.series != PLAIN.series
    assert grey.label() == "resnet18(in_chans=1, num_classes=10) 64px b1 float32"
    assert Case.model_validate_json(grey.model_dump_json()) == grey
    assert Case(subject="resnet18", resolution=64, args=float("nan")) == PLAIN, "as a frame has it"


def test_a_number_and_its_text_are_two_models() -> None:
    assert with_args("a", read_args({"b": 1})) != with_args("a", read_args({"b": "1"}))


SUITE = Suite.model_validate(
    {
        "name": "two",
        "question": "?",
        "subjects": ["a", {"name": "a", "args": {"in_chans": 1}}, {"name": "b", "implementation": ["x", "y"]}],
        "devices": {"cpu": {"resolution": 32, "budget": 60}},
    }
)


@pytest.mark.parametrize("subject", [["a"], ["*", "a"], ["a", "a"]])
def test_two_entries_of_one_subject_stay_two(subject: list[str]) -> None:
    overrides = Overrides(subject=subject)
    cases = plan(SUITE, Device.cpu, lambda name, asked, *_: list(asked) or ["default"], overrides)
    assert [case.model for case in cases.cases if case.subject == "a"] == ["a", "a(in_chans=1)"]


def test_entries_survive_the_run_s_own_file() -> None:
    assert Suite.model_validate(SUITE.model_dump(mode="json")) == SUITE


def test_operators_have_none() -> None:
    changed = SUITE.model_dump(mode="json")
    changed["devices"] = {"cpu": {"length": 32, "shape": "1x2x2", "budget": 60}}
    with pytest.raises(ValueError, match="a is an operator, which has no constructor: leave its args out"):
        plan(Suite.model_validate(changed), Device.cpu, lambda *_: ["default"])
    with pytest.raises(ValueError, match="leave args out"):
        Case(subject="gla", length=4, heads=1, key_dim=2, value_dim=2, args={"a": 1})
