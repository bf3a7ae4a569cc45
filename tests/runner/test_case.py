"""The case that somebody means who names a subject and settings."""

import pytest

import vigbench
from vigbench.suites.axes import Precision


def test_what_is_not_said_is_what_users_get() -> None:
    case = vigbench.create_case("deit_tiny_patch16_224", device="cpu")
    assert (case.resolution, case.batch_size, case.implementation) == (224, 1, "sdpa")
    asked = vigbench.create_case(
        "deit_tiny_patch16_224", implementation="eager", device="cpu", resolution=64, precision="bf16", threads=1
    )
    assert (asked.resolution, asked.implementation, asked.precision) == (64, "eager", Precision.bfloat16)


def test_an_operator_has_a_length_and_a_shape() -> None:
    case = vigbench.create_case("gla", device="cpu", length=64, shape="2x4x8")
    assert (case.length, case.heads, case.key_dim, case.value_dim) == (64, 2, 4, 8)


def test_a_shape_for_one_length_is_that_shape_there() -> None:
    case = vigbench.create_case("gla", device="cpu", length=64, shape="2x4x8@64")
    assert case == vigbench.create_case("gla", device="cpu", length=64, shape="2x4x8")


@pytest.mark.parametrize(
    ("subject", "settings", "message"),
    [
        ("vig_tinny_patch16_224", {}, "vig_tiny_patch16_224"),
        ("gla", {}, "gla is an operator"),
        ("gla", {"length": 64, "shape": "2x4"}, "heads x key_dim x value_dim"),
        ("gla", {"length": 64, "shape": "2x4x8@32"}, "is for 32 tokens; leave its @ out"),
        ("resnet18", {"implementation": "sdpa"}, "offers no choice"),
        ("resnet18", {"precision": "fp8"}, "precision"),
        ("resnet18", {"resolutoin": 64}, "resolutoin"),
        ("resnet18", {"device": "tpu"}, "choose auto, cpu or cuda"),
    ],
)
def test_what_is_none_is_refused(subject: str, settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        vigbench.create_case(subject, **{"device": "cpu", **settings})
