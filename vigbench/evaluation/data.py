"""A folder of images, one folder for each class: what is in it, in which order, with which labels."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from timm.data.readers.img_extensions import IMG_EXTENSIONS
from timm.utils.misc import natural_key

_by_number: Callable[[str], list[str | int]] = natural_key  # which timm leaves untyped


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
        ValueError: if that is not what the folder holds.
    """
    if not root.is_dir():
        raise ValueError(f"{root} is no folder; give --data the folder that holds a folder of images for each class.")
    inside = sorted(entry for entry in root.iterdir() if not entry.name.startswith((".", "__pycache__")))
    folders = [entry for entry in inside if entry.is_dir()]
    if loose := [entry for entry in inside if _is_image(entry) and not entry.is_dir()]:
        raise ValueError(
            f"{root} holds {len(loose)} images outside of a class's folder, such as {loose[0].name}; sort them into "
            "one folder for each class."
        )
    if not folders:
        raise ValueError(
            f"{root} holds no folders; give --data the folder that holds a folder of images for each class."
        )
    names = [folder.name for folder in folders]
    classes = tuple(sorted(names, key=lambda name: (_by_number(name), name)))
    notes = []
    if class_map is not None:
        classes = _read_class_map(class_map, names)
    elif list(classes) != sorted(names):
        notes.append(
            "Class names hold numbers of unequal length: labels are in timm's order, numbers by value. If the model "
            "was trained with another order, give --class-map."
        )
    index = {name: label for label, name in enumerate(classes)}
    labelled = [
        (index[folder.name], f"{folder.name}/{name}")
        for folder in sorted(folders, key=lambda folder: index[folder.name])
        for name in _images(folder)
    ]
    return ImageFolder(
        root, classes, tuple(image for _, image in labelled), tuple(label for label, _ in labelled), tuple(notes)
    )


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMG_EXTENSIONS


def _images(folder: Path) -> list[str]:
    """Names of the images in a class's folder, at least one."""
    found = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    if nested := [entry for entry in found if entry.is_dir()]:
        raise ValueError(
            f"{folder} holds folders, such as {nested[0].name}: images have to lie in the folder of their class "
            "itself. Give --data the folder that holds the classes' folders."
        )
    names = sorted(entry.name for entry in found if _is_image(entry))
    if not names:
        raise ValueError(f"{folder} holds no image ({', '.join(IMG_EXTENSIONS)}); remove it, or put its images back.")
    for name in names:
        if not _is_text(image := f"{folder.name}/{name}"):
            raise ValueError(f"The name {image!a} cannot stand in a table; rename it.")
    return names


def _is_text(name: str) -> bool:
    """Whether a name is one line of UTF-8: a file system takes any bytes."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return not {"\n", "\r"} & set(name)


def _read_class_map(file: Path, folders: list[str]) -> tuple[str, ...]:
    """The class names of a file, which have to include those of the folders."""
    try:
        names = file.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"--class-map: {file} cannot be read: {error}. Give a text file with one class name a line."
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
