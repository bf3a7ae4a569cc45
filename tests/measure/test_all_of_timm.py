"""Every family of models in timm is counted in full: no operator is unknown, and none fails.

A family is what begins with one word in one of timm's files (`resnet`, `seresnet`); a small model stands for it. With
`--all-of-timm` all its models are counted, more than 1,300, in half an hour.
"""

import re

import pytest
import timm
from timm.models import list_models, list_modules

import vigbench
from tests.examples import example_of
from vigbench.subjects.building import build_on_meta

UNCOUNTED: dict[str, set[str]] = {}
"""Operators of a family's model that the rule does not know: none known so far."""
NOT_COUNTED: dict[str, str] = {}
"""A part of the message with which a family's model cannot be counted: none known so far."""
SMALL = re.compile(r"atto|femto|pico|nano|micro|xxt|xxs|tiny|small|_s\d*(_|$)|_t(_|$)|b0|(?<!\d)18(?!\d)")


def families() -> list[str]:
    """The model of each."""
    chosen = []
    for file in list_modules():
        words: dict[str, list[str]] = {}
        for name in list_models(module=file):
            words.setdefault(re.split(r"[\d_]", name)[0], []).append(name)
        chosen += [min(names, key=lambda name: (not SMALL.search(name), len(name), name)) for names in words.values()]
    return chosen


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "name" in metafunc.fixturenames:
        metafunc.parametrize("name", list_models() if metafunc.config.getoption("--all-of-timm") else families())


@pytest.mark.slow
def test_a_family_of_timm_is_counted(name: str) -> None:
    model = build_on_meta(lambda: timm.create_model(name))
    example = example_of(name, model)
    if name in NOT_COUNTED:
        with pytest.raises(ValueError, match=re.escape(NOT_COUNTED[name])):
            vigbench.count_cost(model, example)
        return
    cost = vigbench.count_cost(model, example)
    assert cost.macs > 0
    assert set(cost.uncounted) == UNCOUNTED.get(name, set())


def test_every_file_of_timm_has_a_family() -> None:
    assert len(families()) >= len(set(list_modules())) >= 80
