"""The suite that needs no file."""

import pytest

from vigbench.suites.axes import Device
from vigbench.suites.case import Case
from vigbench.suites.custom import custom_suite
from vigbench.suites.planner import Overrides, plan

NET = "my_pkg.models:make_net"


def cases(overrides: Overrides, device: Device = Device.cpu) -> list[Case]:
    return list(plan(custom_suite(overrides), device, lambda *_: ["default"], overrides).cases)


@pytest.mark.parametrize("device", list(Device))
def test_its_defaults_are_one_plain_case(device: Device) -> None:
    overrides = Overrides(subject=[NET])
    assert cases(overrides, device) == [Case(subject=NET, resolution=224, device=device)]
    assert custom_suite(overrides).section(device).budget == 300


def test_every_axis_can_be_set() -> None:
    overrides = Overrides(
        subject=[NET, "resnet18", NET], resolution=[512, 224], batch_size=[1, 8], precision=["bfloat16"], budget=60.0
    )
    found = cases(overrides)
    assert [(case.resolution, case.batch_size, case.subject) for case in found] == [
        (side, batch, subject) for side in (224, 512) for batch in (1, 8) for subject in (NET, "resnet18")
    ]
    assert {case.precision for case in found} == {"bfloat16"}
    assert plan(custom_suite(overrides), Device.cpu, lambda *_: ["default"], overrides).budget_s == 60


def test_operators_have_length_and_shape() -> None:
    (case,) = cases(Overrides(subject=["gla"], length=[64], shape=["2x4x8"]))
    assert (case.length, case.shape) == (64, (2, 4, 8))


@pytest.mark.parametrize(
    ("overrides", "question"),
    [
        (Overrides(subject=["a"]), "How fast is a, and how much memory does it take, at 224 px?"),
        (
            Overrides(subject=["a", "b", "c"], resolution=[224, 512]),
            "How do a, b and c compare in latency, throughput and memory at 224 and 512 px?",
        ),
        (
            Overrides(subject=list("abcde"), length=[64], shape=["2x4x8"]),
            "How do these 5 subjects compare in latency, throughput and memory at 64 tokens?",
        ),
    ],
)
def test_it_asks_a_question(overrides: Overrides, question: str) -> None:
    suite = custom_suite(overrides)
    assert (suite.name, suite.question) == ("custom", question)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (Overrides(), "Name a suite, or the subjects"),
        (Overrides(subject=["a", ""]), "name is empty"),
        (Overrides(subject=["vig*"]), r"Name each subject in full \(vigbench list subjects 'vig\*'"),
        (Overrides(subject=["gla"], length=[64]), "both --length and --shape"),
        (Overrides(subject=["gla"], length=[64], shape=["2x4x8"], resolution=[64]), "both --length and --shape"),
    ],
)
def test_what_cannot_be_meant_is_refused(overrides: Overrides, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        custom_suite(overrides)
