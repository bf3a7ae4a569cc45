"""Folders of images, and the labels that follow from them."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from timm.data import ImageDataset
from timm.utils.misc import natural_key

from tests.evaluation.pictures import (
    CLASSES,
    prepare,
    save_model,
    settings,
    write_image,
)
from vigbench.evaluation.data import by_number, read_image_folder


def test_a_class_map_gives_the_labels_of_a_folder_that_lacks_classes(tmp_path: Path, data: Path) -> None:
    names = ["yak", *reversed(CLASSES), "zebu", "gnu"]
    (tmp_path / "map.txt").write_text("\n".join(names) + "\n")
    evaluation = prepare(settings(), save_model(tmp_path / "nine.pt", classes=9), data, tmp_path / "map.txt")
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


@given(st.lists(st.text("ab0129²٣Ⅷ", min_size=1, max_size=4), unique=True, min_size=2, max_size=8))
def test_the_order_is_timms_wherever_timm_has_one(names: list[str]) -> None:
    ours = sorted(names, key=by_number)
    try:
        timms = sorted(names, key=natural_key)
    except ValueError:  # of a digit that is no decimal
        assert any("²" in name for name in names)
    else:
        assert ours == timms


def test_a_class_may_have_any_digits_in_its_name(tmp_path: Path) -> None:
    for name in ("5²", "6", "7"):
        write_image(tmp_path / name / "a.png", 1)
    assert read_image_folder(tmp_path).classes == ("5²", "6", "7")


def test_every_image_is_listed_and_every_other_file_counted(data: Path) -> None:
    for name in ("ant/b.webp", "ant/c.BMP", "bee/d.Tiff"):
        write_image(data / name, 1)
    found = read_image_folder(data)
    assert {"ant/b.webp", "ant/c.BMP", "bee/d.Tiff"} <= set(found.images)
    assert not found.notes
    (data / "ant" / "1.txt").write_text("an ant")
    assert read_image_folder(data).notes == ("1 file in 1 folder is no image by its suffix, such as ant/1.txt",)
    write_image(data / "bee" / "e.png", 1).rename(data / "bee" / "e")
    (data / "cat" / "readme\n.md").write_text("cats")
    others = read_image_folder(data).notes
    assert others == ("3 files in 3 folders are no images by their suffix, such as ant/1.txt",)


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
    elif how == "link":
        (data / "ant" / "lost.png").symlink_to(data / "nothing.png")
    elif how == "pipe":
        os.mkfifo(data / "ant" / "pipe.png")
    elif how == "name":
        write_image(data / "ant" / "a\nb.png", 1)
    elif how == "bytes":
        write_image(data / "ant" / "plain.png", 1).rename(os.fsdecode(os.fsencode(data / "ant") + b"/\xff.png"))


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("empty", "holds no folders; give --data"),
        ("class", r"gnu holds no image \(.png, .jpg, .jpeg\) nor one in another format"),
        ("loose", "holds 1 images outside of a class's folder, such as one.png"),
        ("deep", "gnu holds folders, such as val"),
        ("link", "lost.png is no file, or a link to none"),
        ("pipe", "pipe.png is no file"),
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
