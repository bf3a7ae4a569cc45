"""Readable names: `vig_tiny_patch16_224` is written ViG-T."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from vigbench.analysis.table import printable
from vigbench.ops.registry import list_operators

Info = Mapping[str, Any]  # what `run.json` says of a run

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
    "hiera": "Hiera",
    "mambaout": "MambaOut",
}
SIZES = {"nano": "N", "tiny": "T", "small": "S", "base": "B", "large": "L", "huge": "H", "xlarge": "XL"}
OF_VOLUMES = {
    "glims": "GLIMS",
    "swin_unetr": "Swin UNETR",
    "unetr": "UNETR",
    "unet": "U-Net",
    "segresnet": "SegResNet",
    "nnunet": "nnU-Net",
}
OF_LAYERS = {
    "gla_layer": "GLA layer",
    "llama_layer": "LLaMA layer",
    "retnet_layer": "RetNet layer",
    "mamba2_layer": "Mamba-2 layer",
    "gsa_layer": "GSA layer",
}
OPERATORS = {subject.name: subject.title for operator in list_operators() for subject in operator.subjects}
# only plain variants: a `distilled` or `stem8` model is another model and keeps its whole name
_SIZED = re.compile(
    rf"({'|'.join(FAMILIES)})_({'|'.join(SIZES)})(_patch\d+)?(_window\d+)?(_\d+)?(\.[a-z0-9_]+)?", re.ASCII
)
# names with a scheme of their own: pattern -> how the paper writes it
_OWN_SCHEME: dict[re.Pattern[str], Callable[[re.Match[str]], str]] = {
    re.compile(r"resnet(\d+)(\.[a-z0-9_]+)?", re.ASCII): lambda m: f"ResNet-{m[1]}",
    re.compile(r"regnet([xy])_(\d{3})(\.[a-z0-9_]+)?", re.ASCII): lambda m: (
        f"RegNet{m[1].upper()}-{int(m[2]) / 10:g}GF"
    ),
    re.compile(r"xcit_([a-z]+)_(\d+)_p(\d+)_\d+(\.[a-z0-9_]+)?", re.ASCII): lambda m: (
        f"XCiT-{m[1][0].upper()}{m[2]}/{m[3]}"
    ),
    re.compile(r"pvt_v2_b(\d)(\.[a-z0-9_]+)?", re.ASCII): lambda m: f"PVTv2-B{m[1]}",
    re.compile(r"efficientvit_([bl]\d)(\.[a-z0-9_]+)?", re.ASCII): lambda m: f"EfficientViT-{m[1].upper()}",
    re.compile(rf"di([gt])_({'|'.join(SIZES)})_patch(\d)", re.ASCII): lambda m: (
        f"Di{m[1].upper()}-{SIZES[m[2]]}/{m[3]}"
    ),
    re.compile(r"vit_([a-z]+)_patch14_reg4_dinov2(\.[a-z0-9_]+)?", re.ASCII): lambda m: (
        f"DINOv2-{SIZES.get(m[1], m[1])}+reg"
    ),
}


def short_name(subject: str) -> str:
    """The readable name of a subject, or the subject itself; its arguments follow as they are."""
    subject, opening, args = subject.partition("(")
    return _short(subject) + opening + args


def _short(subject: str) -> str:
    if (title := {**OPERATORS, **OF_LAYERS, **OF_VOLUMES}.get(subject)) is not None:
        return title
    if match := _SIZED.fullmatch(subject):
        return f"{FAMILIES[match[1]]}-{SIZES[match[2]]}"
    matches = ((match, name) for pattern, name in _OWN_SCHEME.items() if (match := pattern.fullmatch(subject)))
    return next((name(match) for match, name in matches), subject)


def size_of(subject: str) -> str:
    """tiny, small, ...; empty where the name does not say."""
    parts = re.split(r"[_.\-]", subject.partition("(")[0])
    return next((size for size in SIZES if size in parts), "")


def size_rank(subject: str) -> int:
    """Small models first, those of no size last."""
    size = size_of(subject)
    return list(SIZES).index(size) if size else len(SIZES)


def whole_name(subject: str, implementation: str) -> str:
    """The subject as it was asked for, with its implementation where there is a choice."""
    return f"{subject} [{implementation}]" if implementation not in ("", "default") else subject


def device_of(info: Info) -> str:
    """The device of a run by name."""
    return printable(str(info.get("device_name") or info.get("device") or "unknown device"))


def run_of(info: Info) -> str:
    """The run's name."""
    return printable(str(info.get("run") or ""))


def labels(names: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """A unique readable label for each (subject, implementation); operators always say their implementation."""
    keys = sorted(set(names))
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
