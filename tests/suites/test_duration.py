import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigbench.suites.duration import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("3m", 180), ("1h30m", 5400), ("1.5m", 90), ("45", 45), (7, 7)]
)
def test_durations_as_people_write_them(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "0s", "soon", "-3m", "3m m", "nan", "1e9y", "m"])
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="90s, 3m or 1h30m"):
        parse_duration(text)


@given(st.integers(1, 10**6))
def test_seconds_round_trip(seconds: int) -> None:
    assert parse_duration(f"{seconds}s") == seconds


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (42, "42 s"), (185, "3 min 05 s"), (4320, "1 h 12 min")])
def test_short_words(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
