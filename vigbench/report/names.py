"""Readable names: `vig_tiny_patch16_224` is written ViG-T."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from vigbench.report.rows import Row

FAMILIES = {
    "vig_h": "ViG-H",
    "vig": "ViG",
    "deit3": "DeiT3",
    "deit": "DeiT",
    "vit": "ViT",
    "vim": "Vim",
    "vrwkv": "VRWKV",
    "swinv2": "SwinV2",
    "swin": "Swin",
    "convnextv2": "ConvNeXtV2",
    "convnext": "ConvNeXt",
}
SIZES = {"nano": "N", "tiny": "T", "small": "S", "base": "B", "large": "L", "huge": "H"}
OPERATORS = {
    "gla": "GLA",
    "gla_from_logits": "GLA+gates",
    "gla_one_direction": "Causal GLA",
    "attention": "Attention",
}
# only plain variants: a `distilled` or `stem8` model is another model and keeps its whole name
_SIZED = re.compile(
    rf"({'|'.join(FAMILIES)})_({'|'.join(SIZES)})(_patch\d+)?(_window\d+)?(_\d+)?(\.[a-z0-9_]+)?", re.ASCII
)
_RESNET = re.compile(r"resnet(\d+)(\.[a-z0-9_]+)?", re.ASCII)


def short_name(subject: str) -> str:
    """The readable name of a subject, or the subject itself."""
    if subject in OPERATORS:
        return OPERATORS[subject]
    if match := _SIZED.fullmatch(subject):
        return f"{FAMILIES[match[1]]}-{SIZES[match[2]]}"
    if match := _RESNET.fullmatch(subject):
        return f"ResNet-{match[1]}"
    return subject


def size_of(subject: str) -> str:
    """tiny, small, ...; empty where the name does not say."""
    parts = re.split(r"[_.\-]", subject)
    return next((size for size in SIZES if size in parts), "")


def printable(text: str) -> str:
    """Control characters are not allowed in XML and have no glyph: they become a replacement character."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in text)


def labels(rows: Iterable[Row]) -> dict[tuple[str, str], str]:
    """A unique readable label for each (subject, implementation); operators always say their implementation."""
    keys = sorted({(row["subject"], row["implementation"]) for row in rows})
    subjects = {subject for subject, _ in keys}
    shared = Counter(short_name(subject) for subject in subjects)
    implementations = Counter(subject for subject, _ in keys)
    result = {}
    for subject, implementation in keys:
        short = short_name(subject)
        name = printable(short if shared[short] == 1 else subject)
        result[subject, implementation] = (
            f"{name} ({printable(implementation)})"
            if implementation and (implementations[subject] > 1 or subject in OPERATORS)
            else name
        )
    return result
