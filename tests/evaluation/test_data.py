"""Folders of images, and the labels that follow from them."""

import os
from pathlib import Path

import pytest
from timm.data import ImageDataset

from tests.evaluation.pictures import (
    CLASSES,
    save_model,
    settings,
    write_image,
)
from vigbench.evaluation.data import read_image_folder
from vigbench.evaluation.prepare import prepare_evaluation


def test_a_class_map_gives_the_labels_of_a_folder_that_lacks_classes(tmp_path: Path, data: Path) -> None:
    names = ["yak", *reversed(CLASSES), "zebu", "gnu"]
    (tmp_path / "map.txt").write_text("\n".join(names) + "\n")
    evaluation = prepare_evaluation(settings(), save_model(tmp_path / "nine.pt", classes=9), data, tmp_path / "map.txt")
    found = evaluation.data
    assert {name: found.labels[found.images.index(f"{name}/0.png")] for name in CLASSES} == {
        name: names.index(name) for name in CLASSES
    }
    assert evaluation.info["data"]["classes"] == 9


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", "0 lines"), ("ant\nant\n", "2 lines with 1"), ("ant\nbee\n", "lacks 4 of the folder's 6")],
)
def test_a_class_map_that_is_none_is_refused(tmp_path: Path, data: Path, text: str, expected: str) -> None:
    (tmp_path / "map.txt").write_text(text)
    with pytest.raises(ValueError, match=expected):
        read_image_folder(data, tmp_path / "map.txt")


def test_labels_are_in_timms_order_which_is_said_where_it_is_not_that_of_the_names(tmp_path: Path, data: Path) -> None:
    for name in ("1", "2", "10"):
        write_image(tmp_path / "numbers" / name / "a.jpg", 1)
    found = read_image_folder(tmp_path / "numbers")
    timms = ImageDataset(str(tmp_path / "numbers")).reader
    assert found.classes == ("1", "2", "10") == tuple(timms.class_to_idx)
    assert "numbers by value" in found.notes[0]
    assert not read_image_folder(data).notes


def spoil(data: Path, how: str) -> None:
    if how == "empty":
        for path in sorted(data.rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
    elif how == "class":
        (data / "gnu").mkdir()
        (data / "gnu" / "notes.txt").write_text("soon")
    elif how == "loose":
        write_image(data / "one.png", 1)
    elif how == "deep":
        write_image(data / "gnu" / "val" / "one.png", 1)
    elif how == "name":
        write_image(data / "ant" / "a\nb.png", 1)
    elif how == "bytes":
        write_image(data / "ant" / "plain.png", 1).rename(os.fsdecode(os.fsencode(data / "ant") + b"/\xff.png"))


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("empty", "holds no folders; give --data"),
        ("class", r"gnu holds no image \(.png, .jpg, .jpeg\)"),
        ("loose", "holds 1 images outside of a class's folder, such as one.png"),
        ("deep", "gnu holds folders, such as val"),
        ("name", r"'ant/a\\nb.png' cannot stand in a table; rename it"),
        ("bytes", r"'ant/\\udcff.png' cannot stand in a table"),
    ],
)
def test_folders_of_another_kind_are_refused(data: Path, how: str, expected: str) -> None:
    spoil(data, how)
    with pytest.raises(ValueError, match=expected):
        read_image_folder(data)


def test_hidden_files_and_compiled_python_are_no_images(data: Path) -> None:
    before = read_image_folder(data)
    (data / "ant" / "._0.png").write_bytes(b"\0")
    (data / ".cache").mkdir()
    (data / "__pycache__").mkdir()
    assert read_image_folder(data).images == before.images
