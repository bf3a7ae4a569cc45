"""What papers and repositories publish for a model: data with its sources. Nothing here is measured."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib.resources import files

FILES = ("imagenet.csv", "volumes.csv")  # models of images and latents, and models of volumes


@dataclass(frozen=True)
class Published:
    """The published values of one model at one size; decimals keep the digits that were printed, None is not published.

    They are for the classes that a model has by default, unless `counted` says otherwise.

    Attributes:
        subject: the model, by its timm name, or vigbench's where timm has none.
        resolution: of the images, or of each side of a volume, in px.
        params_m: parameters in millions.
        gmacs: 10^9 multiply-adds of one image or volume; most sources call them FLOPs.
        top1: ImageNet-1K top-1 accuracy in percent; of models of images.
        counted: what the source counts as a multiply-add.
        counted_share: that count over vigbench's, where the two ways of counting differ.
        note: where other sources contradict, or why the values are not those counted here.
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


def published(subject: str, resolution: int | str | None = None) -> Published | None:
    """The published values of a model, by its plain name, at a size; None where there are none.

    A name with a tag (`convnext_tiny.fb_in22k`) has none: other weights, and maybe other classes. Without a size they
    are those of the first that it has.
    """
    found = (values for values in all_published() if values.subject == subject)
    return next((values for values in found if resolution in (None, values.resolution)), None)


@cache
def all_published() -> tuple[Published, ...]:
    """What is published of every model, once for each size: architectures together, and small models first."""
    rows: list[Mapping[str, str]] = []
    for name in FILES:
        text = files("vigbench.published").joinpath(name).read_text(encoding="utf-8")
        rows += csv.DictReader(text.splitlines(), strict=True)
    found = tuple(map(_parse, rows))
    assert len({(values.subject, values.resolution) for values in found}) == len(found), "a model stands twice"
    return found


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
