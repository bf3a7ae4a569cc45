"""Batches of images, read and transformed, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vigbench.evaluation.image import read_image
from vigbench.subjects.factory import in_one_line

Transform = Callable[[Any], Tensor]


class ReadingError(ValueError):
    """Images cannot be read; the text says which or why, and what to do."""


class _Images(Dataset[Tensor | str]):
    """Transformed images, or why one cannot be read: an exception's text would come with a worker's traceback."""

    def __init__(self, root: Path, images: Sequence[str], transform: Transform, mode: str) -> None:
        self.root, self.images, self.transform, self.mode = root, images, transform, mode

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor | str:
        path = self.root / self.images[index]
        try:
            pixels = read_image(path, self.mode)
        except Exception as error:  # each of PIL's decoders has exceptions of its own
            return f"{path} cannot be read: {in_one_line(error)}"
        return self.transform(pixels)


def batches(
    root: Path,
    images: Sequence[str],
    transform: Transform,
    batch_size: int,
    workers: int,
    *,
    pinned: bool,
    mode: str = "RGB",
) -> Iterator[Tensor]:
    """Batches (batch, channels, height, width) in the order of `images`; the last may be smaller.

    Args:
        root: the folder.
        images: paths below it.
        transform: from a PIL image to a tensor (channels, height, width).
        batch_size: images in a batch.
        workers: processes that read ahead; 0: this one reads.
        pinned: in memory from which a CUDA device copies directly.
        mode: Pillow's name of the images' colours: RGB or L.

    Raises:
        ReadingError: when it comes to an image that cannot be read, or a worker has ended.
    """
    loader: DataLoader[Any] = DataLoader(
        _Images(root, images, transform, mode),
        batch_size=batch_size,
        num_workers=workers,
        collate_fn=_collate,
        pin_memory=pinned,
    )
    found = iter(loader)
    while (batch := _next(found, workers)) is not None:
        if isinstance(batch, str):
            raise ReadingError(f"{batch}. Put a good copy there.")
        yield batch


def _next(found: Iterator[Any], workers: int) -> Tensor | str | None:
    """The next batch, or why there is none; None at the end."""
    try:
        batch: Tensor | str | None = next(found, None)
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise ReadingError(
            f"One of {workers} processes that read images ended ({in_one_line(error)}). Where shared memory is scarce, "
            "use --workers 0."
        ) from error
    return batch


def _collate(found: list[Tensor | str]) -> Tensor | str:
    if unreadable := [reason for reason in found if isinstance(reason, str)]:
        return unreadable[0]
    return torch.stack([image for image in found if isinstance(image, Tensor)])
