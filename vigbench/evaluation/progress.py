"""What an evaluation tells whoever waits for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vigbench.records.accuracy import AccuracyRow


class EvaluationProgress:
    """Told how an evaluation goes on; by itself it says nothing."""

    def trying(self, resolution: int) -> None:
        """One image at a resolution is about to go through the model, before anything is written."""

    def evaluation_started(self, folder: Path, used: Sequence[str]) -> None:
        """The folder is there; `used` is what decides the numbers and was not necessarily asked for, in words."""

    def resolution_started(self, resolution: int, done: int, images: int) -> None:
        """That many images of a resolution are there already."""

    def images_done(self, done: int) -> None:
        """That many images are there now."""

    def resolution_ended(self, row: AccuracyRow) -> None:
        """A resolution is complete."""
