"""A class map: the names of a model's classes, in the order of its outputs."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from pathlib import Path


def read_class_map(file: Path, folders: Sequence[str]) -> tuple[str, ...]:
    """The class names of a file with one a line, which have to include those of the folders.

    Raises:
        ValueError: if they do not, or that is not what the file holds.
    """
    try:
        content = file.read_bytes()
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in content:
            raise ValueError(f"--class-map: {file} is in UTF-16, as Windows saves Unicode; save it as UTF-8.")
        names = re.sub("\r\n?", "\n", content.decode("utf-8-sig")).split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"--class-map: {file} cannot be read: {error}. Give a text file with one class name a line, in UTF-8."
        ) from error
    classes = tuple(name.strip() for name in names)
    while classes and not classes[-1]:
        classes = classes[:-1]
    if not classes or len(set(classes)) != len(classes) or "" in classes:
        raise ValueError(
            f"--class-map: {file} has to name one class a line, each once, in the order of the model's outputs; it has "
            f"{len(classes)} lines with {len(set(classes) - {''})} different names."
        )
    if unknown := sorted(set(folders) - set(classes)):
        raise ValueError(
            f"--class-map: {file} lacks {len(unknown)} of the folder's {len(folders)} classes, such as {unknown[0]}; "
            "add them, or leave their folders out."
        )
    return classes
