"""What papers and repositories publish for a model: data with its sources. Nothing here is measured."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib.resources import files


@dataclass(frozen=True)
class Published:
    """The published values of one model; decimals keep the digits that were printed, None is not published.

    They are for the classes that a model has by default.

    Attributes:
        subject: the model, by its timm name, or vigbench's where timm has none.
        resolution: of the images in px.
        params_m: parameters in millions.
        gmacs: 10^9 multiply-adds of one image; most sources call them FLOPs.
        top1: ImageNet-1K top-1 accuracy in percent.
        counted: what the source counts as a multiply-add.
        counted_share: that count over vigbench's, where the two ways of counting differ.
        note: where other sources contradict.
        params_source: file of a repository, or paper; the same for the other two.
    """

    subject: str
    resolution: int
    params_m: Decimal | None
    gmacs: Decimal | None
    top1: Decimal | None
    counted: str
    counted_share: Decimal | None
    params_source: str
    gmacs_source: str
    top1_source: str
    note: str


def published(subject: str) -> Published | None:
    """The published values of a model, by its plain name; None where there are none.

    A name with a tag (`convnext_tiny.fb_in22k`) has none: other weights, and maybe other classes.
    """
    return all_published().get(subject)


@cache
def all_published() -> Mapping[str, Published]:
    """Every model that has published values, by name: architectures together, and small models first."""
    text = files("vigbench.published").joinpath("imagenet.csv").read_text(encoding="utf-8")
    found = [_parse(row) for row in csv.DictReader(text.splitlines(), strict=True)]
    assert len({model.subject for model in found}) == len(found), "a model stands twice in imagenet.csv"
    return {model.subject: model for model in found}


def is_rounded_from(printed: Decimal, value: float) -> bool:
    """Whether `value` is `printed` as far as its digits go: 1.16 and 1.24 both print as 1.2."""
    exponent = printed.as_tuple().exponent
    assert isinstance(exponent, int), "neither infinite nor NaN"
    return abs(float(printed) - value) <= 0.5 * 10.0**exponent * (1 + 1e-9)  # 1.25 itself is not exact in binary


def _parse(row: Mapping[str, str]) -> Published:
    return Published(
        subject=row["subject"],
        resolution=int(row["resolution"]),
        params_m=_decimal(row["params_m"]),
        gmacs=_decimal(row["gmacs"]),
        top1=_decimal(row["top1"]),
        counted=row["counted"],
        counted_share=_decimal(row["counted_share"]),
        params_source=row["params_source"],
        gmacs_source=row["gmacs_source"],
        top1_source=row["top1_source"],
        note=row["note"],
    )


def _decimal(text: str) -> Decimal | None:
    return Decimal(text) if text else None
