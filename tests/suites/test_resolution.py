import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigbench.suites.resolution import aspect_of, mean_side, read_resolution, resolution_at, sides_of

SIDES = st.lists(st.integers(1, 4096), min_size=1, max_size=4)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (224, 224),
        ("224", 224),
        (224.0, 224),
        (" 224X320 ", "224x320"),
        ("224x224", 224),
        ("96x96x96", 96),
        ("8x224x224", "8x224x224"),
    ],
)
def test_a_size_has_one_form(written: object, read: object) -> None:
    assert read_resolution(written) == read
    assert read_resolution(read) == read


@pytest.mark.parametrize("written", [0, -1, 1.5, True, None, "", "x", "224x", "224*320", "0x4", "1e3", [224], "9" * 10])
def test_what_is_no_size_is_refused_with_an_example(written: object) -> None:
    with pytest.raises(ValueError, match="write for example 224, or 224x320"):
        read_resolution(written)


def test_sides_are_as_many_as_the_task_has() -> None:
    assert sides_of(96, 3) == (96, 96, 96)
    assert sides_of("224x320", 2) == (224, 320)
    with pytest.raises(ValueError, match="224x320 has 2 sides, and 3 are needed"):
        sides_of("224x320", 3)


@given(SIDES)
def test_proportions_and_mean_side_say_the_size_again(sides: list[int]) -> None:
    resolution = read_resolution("x".join(map(str, sides)))
    assert resolution_at(aspect_of(resolution), mean_side(resolution)) == resolution
    assert math.isclose(mean_side(resolution) ** len(sides), math.prod(sides), rel_tol=1e-5)


@given(SIDES, st.integers(2, 9))
def test_larger_images_of_the_same_proportions_are_on_one_curve(sides: list[int], factor: int) -> None:
    small, large = (read_resolution("x".join(str(one * by) for one in sides)) for by in (1, factor))
    assert aspect_of(small) == aspect_of(large)
    assert mean_side(large) > mean_side(small)
    if aspect := aspect_of(small):
        first = Fraction(sides[0], sides[-1])
        parts = list(map(int, aspect.split(":")))
        assert Fraction(parts[0], parts[-1]) == first
