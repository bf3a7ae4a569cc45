"""The files of an evaluation are read as they were written."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigbench.records.accuracy import (
    HEADER,
    AccuracyRow,
    Prediction,
    accuracy_csv,
    parse_prediction,
    prediction_lines,
    read_accuracy,
    read_predictions,
)

names = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), min_size=1)
predictions = st.builds(
    Prediction, names, st.integers(0, 999), st.lists(st.integers(0, 999), max_size=5, unique=True).map(tuple)
)
ROW = AccuracyRow(224, 50000, 100 / 3, 32.9, 33.7, 60.0, 59.5, 60.5, 0)
FEW_CLASSES = AccuracyRow(32, 10, 50.0, 20.0, 80.0, None, None, None, 3)
INFO = {"format": 1, "settings": {"subject": "deit_tiny_patch16_224"}, "finished_at": None}


@given(predictions)
def test_a_prediction_is_one_line_and_comes_back(one: Prediction) -> None:
    line = prediction_lines([one])
    assert line.count("\n") == 1
    assert parse_prediction(line.removesuffix("\n")) == one


@given(predictions)
def test_no_part_of_a_line_reads_as_another_prediction_of_as_many_ranks(one: Prediction) -> None:
    line = prediction_lines([one]).removesuffix("\n")
    for end in range(len(line)):
        try:
            torn = parse_prediction(line[:end])
        except ValueError:
            continue
        # cells are missing from all but the last; only its digits can be, which no line end then follows
        assert torn.image == one.image
        assert len(torn.ranks) <= len(one.ranks)


def write(folder: Path, **info: object) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "accuracy.json").write_text(json.dumps({**INFO, **info}))
    (folder / "accuracy.csv").write_text(accuracy_csv([ROW, FEW_CLASSES]))
    return folder


def test_an_evaluation_comes_back(tmp_path: Path) -> None:
    found = read_accuracy(write(tmp_path / "accuracy-1"))
    assert found.rows == (FEW_CLASSES, ROW)
    assert (found.at(224), found.at(512)) == (ROW, None)
    assert (found.subject, found.finished) == ("deit_tiny_patch16_224", False)
    assert read_accuracy(write(tmp_path / "accuracy-1", finished_at="2026-01-01T00:00:00+00:00")).finished


def test_predictions_come_back(tmp_path: Path) -> None:
    some = [Prediction("a/1, 2.png", 0, (1, 0)), Prediction('b/"x".png', 1, ())]
    (tmp_path / "predictions-64.csv").write_text(HEADER + prediction_lines(some))
    assert read_predictions(tmp_path, 64) == some
    assert read_predictions(tmp_path, 96) == []


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("accuracy.json", None, "holds no accuracy.json"),
        ("accuracy.json", "{", "is damaged"),
        ("accuracy.json", "[]", "does not hold an object. Evaluate again"),
        ("accuracy.json", json.dumps({**INFO, "format": 2}), "has format 2, this version reads 1"),
        ("accuracy.csv", "resolution,images\n224,many\n", "line 2, is damaged"),
    ],
)
def test_damage_is_named(tmp_path: Path, file: str, text: str | None, expected: str) -> None:
    folder = write(tmp_path / "one")
    if text is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(text)
    with pytest.raises(ValueError, match=expected):
        read_accuracy(folder)
