"""Class maps, whichever editor has saved them."""

import codecs
from pathlib import Path

import pytest

from vigbench.evaluation.class_map import read_class_map

NAMES = ("ant", "bee", "käfer")


@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", ["", "\n", "\n\n"])
def test_the_names_are_the_lines(tmp_path: Path, mark: bytes, end: str, last: str) -> None:
    text = "\n".join(NAMES) + last
    (tmp_path / "map.txt").write_bytes(mark + text.replace("\n", end).encode())
    assert read_class_map(tmp_path / "map.txt", ["bee"]) == NAMES


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_named(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "map.txt").write_text("ant\nbee\n", encoding=encoding)
    with pytest.raises(ValueError, match=r"map.txt is in UTF-16, as Windows saves Unicode; save it as UTF-8"):
        read_class_map(tmp_path / "map.txt", ["ant"])


def test_other_files_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "map.txt").write_text("käfer", encoding="latin-1")
    for file in (tmp_path / "map.txt", tmp_path, tmp_path / "none.txt"):
        with pytest.raises(
            ValueError, match=r"cannot be read: .*Give a text file with one class name a line, in UTF-8"
        ):
            read_class_map(file, ["ant"])
