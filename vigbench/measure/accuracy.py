"""Top-1 and top-5 accuracy: from logits to ranked classes, from ranked classes and labels to shares with intervals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vigbench.stats.proportion import ShareInterval, wilson_interval

RANKS = 5
CONFIDENCE = 0.95


@torch.no_grad()
def ranked_classes(logits: Tensor) -> list[tuple[int, ...]]:
    """The classes of each image by falling logit, at most `RANKS`; the lower index first where logits are equal.

    Args:
        logits: (images, classes), any precision and device.

    Returns:
        For each image min(RANKS, classes) indices; none where a logit is not finite: nothing can be ranked then, and
        the image counts as wrong.

    Raises:
        ValueError: for another shape.
    """
    if logits.ndim != 2:
        raise ValueError(f"Logits of shape {tuple(logits.shape)} are not (images, classes).")
    logits = logits.detach().to("cpu", torch.float64)
    order = logits.argsort(dim=1, descending=True, stable=True)[:, :RANKS]
    finite = logits.isfinite().all(dim=1)
    return [tuple(ranks) if fine else () for ranks, fine in zip(order.tolist(), finite.tolist(), strict=True)]


@dataclass(frozen=True)
class Score:
    """How many images were classified rightly.

    Attributes:
        images: all of them.
        first: whose first-ranked class is the label.
        among_five: whose label is among the ranked classes.
        not_finite: without ranks; they count as wrong.
    """

    images: int
    first: int
    among_five: int
    not_finite: int

    @property
    def top1(self) -> ShareInterval:
        """Top-1 accuracy with Wilson's 95% interval."""
        return wilson_interval(self.first, self.images, CONFIDENCE)

    @property
    def top5(self) -> ShareInterval:
        """Top-5 accuracy with Wilson's 95% interval."""
        return wilson_interval(self.among_five, self.images, CONFIDENCE)


def score(answers: Iterable[tuple[int, Sequence[int]]]) -> Score:
    """Count right answers: for each image its label and its ranked classes, best first."""
    images = first = among_five = not_finite = 0
    for label, ranks in answers:
        images += 1
        first += bool(ranks) and ranks[0] == label
        among_five += label in ranks[:RANKS]
        not_finite += not ranks
    return Score(images, first, among_five, not_finite)
