"""A folder of images, one folder for each class: what is in it, in which order, with which labels."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from vigbench.evaluation.class_map import read_class_map
from vigbench.evaluation.image import is_image


@dataclass(frozen=True)
class ImageFolder:
    """Images and labels.

    Attributes:
        root: the folder.
        classes: names by label.
        images: paths below `root`, with slashes, by label and then by name.
        labels: of each image.
        notes: what a reader of the result should know.
    """

    root: Path
    classes: tuple[str, ...]
    images: tuple[str, ...]
    labels: tuple[int, ...]
    notes: tuple[str, ...] = ()

    @cached_property
    def paths_sha256(self) -> str:
        """Of the sorted paths: equal where the same files are evaluated."""
        return _digest(sorted(self.images))

    @cached_property
    def classes_sha256(self) -> str:
        """Of the class names in the order of the labels."""
        return _digest(self.classes)


def _digest(texts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def read_image_folder(root: Path, class_map: Path | None = None) -> ImageFolder:
    """List the images of a folder that holds one folder for each class. Hidden files are left out.

    Args:
        root: the folder.
        class_map: a text file with the name of one class a line, in the order of the model's outputs, as timm has it;
            the folder may then lack some. None: the folder's classes in timm's order, by name with numbers by value,
            which for ImageNet's synsets is the order of the name.

    Raises:
        ValueError: if that is not what the folder holds, or it cannot be listed.
    """
    try:
        return _list_images(root, class_map)
    except OSError as error:
        raise ValueError(
            f"{error.filename or root} cannot be read: {error.strerror}. Check its permissions."
        ) from error


def _list_images(root: Path, class_map: Path | None) -> ImageFolder:
    if not root.is_dir():
        raise ValueError(f"{root} is no folder; give --data the folder that holds a folder of images for each class.")
    folders = _class_folders(root)
    names = [folder.name for folder in folders]
    classes = tuple(sorted(names, key=lambda name: (by_number(name), name)))
    notes = []
    if class_map is not None:
        classes = read_class_map(class_map, names)
    elif list(classes) != sorted(names):
        notes.append(
            "Class names hold numbers of unequal length: labels are in timm's order, numbers by value. If the model "
            "was trained with another order, give --class-map."
        )
    index = {name: label for label, name in enumerate(classes)}
    labelled, others = [], []
    for folder in sorted(folders, key=lambda folder: index[folder.name]):
        found, passed_over = _images(folder)
        labelled += [(index[folder.name], f"{folder.name}/{name}") for name in found]
        others += [f"{folder.name}/{name}" for name in passed_over]
    return ImageFolder(
        root,
        classes,
        tuple(image for _, image in labelled),
        tuple(label for label, _ in labelled),
        (*notes, *_note_on_others(others)),
    )


def _class_folders(root: Path) -> list[Path]:
    """The folders of a folder, at least one, and no images beside them."""
    inside = sorted(entry for entry in root.iterdir() if not entry.name.startswith((".", "__pycache__")))
    folders = [entry for entry in inside if entry.is_dir()]
    if loose := [entry for entry in inside if is_image(entry) and not entry.is_dir()]:
        raise ValueError(
            f"{root} holds {len(loose)} images outside of a class's folder, such as {loose[0].name}; sort them into "
            "one folder for each class."
        )
    if not folders:
        raise ValueError(
            f"{root} holds no folders; give --data the folder that holds a folder of images for each class."
        )
    return folders


def by_number(name: str) -> list[str | int]:
    """timm's `natural_key`, which fails on digits that are no decimals, such as the 2 of 5²."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name.lower())]


def _images(folder: Path) -> tuple[list[str], list[str]]:
    """Names of the images in a class's folder, at least one, and of the files that are none."""
    found = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    if nested := [entry for entry in found if entry.is_dir()]:
        raise ValueError(
            f"{folder} holds folders, such as {nested[0].name}: images have to lie in the folder of their class "
            "itself. Give --data the folder that holds the classes' folders."
        )
    images = sorted(entry for entry in found if is_image(entry))
    if not images:
        raise ValueError(
            f"{folder} holds no image (.png, .jpg, .jpeg) nor one in another format that Pillow reads; remove it, or "
            "put its images back."
        )
    for image in images:
        if not _is_text(name := f"{folder.name}/{image.name}"):
            raise ValueError(f"The name {name!a} cannot stand in a table; rename it.")
        if not image.is_file():
            raise ValueError(f"{image} is no file, or a link to none; put the image there.")
    return [image.name for image in images], sorted(entry.name for entry in found if not is_image(entry))


def _note_on_others(names: list[str]) -> list[str]:
    """That files were passed over, if any were."""
    if not names:
        return []
    folders = {name.partition("/")[0] for name in names}
    files = "1 file" if len(names) == 1 else f"{len(names)} files"
    places = "1 folder" if len(folders) == 1 else f"{len(folders)} folders"
    are = "is no image by its suffix" if len(names) == 1 else "are no images by their suffix"
    example = names[0] if _is_text(names[0]) else ascii(names[0])
    return [f"{files} in {places} {are}, such as {example}"]


def _is_text(name: str) -> bool:
    """Whether a name is one line of UTF-8: a file system takes any bytes."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return not {"\n", "\r"} & set(name)
