"""Families of subjects: what decides a curve's colour, and what a comparison is about. Imports nothing heavy."""

from __future__ import annotations

from fnmatch import fnmatchcase

from vigbench.subjects.operators import OPERATORS

_UNETS = ("unet", "segresnet", "nnunet")
_PATTERNS = {
    "vig": ("vig_*", "dig_*", "gla_layer"),
    "vim": ("vim_*",),
    "linear": (
        "vrwkv_*",
        "retnet_layer",
        "mamba2_layer",
        "gsa_layer",
        "glims",
        "xcit_*",
        "efficientvit_b*",
        "efficientvit_l*",
        "mambaout_*",
        "vmamba_*",
        "plainmamba_*",
    ),
    "deit": ("deit_*", "deit3_*", "vit_*", "dit_*", "unetr", "llama_layer"),
    "windowed": ("swin*", "hiera_*", "pvt_*", "maxvit_*", "coatnet_*", "twins_*"),
    "cnn": ("resnet*", "convnext*", "regnet*", "efficientnet*", "mobilenet*", "densenet*", "vgg*", *_UNETS),
}


def family_of(subject: str) -> str:
    """vig (on gated linear attention), vim, linear, deit (on plain softmax attention), windowed, cnn, or other.

    An operator belongs to the family whose token mixer it is.
    """
    name = subject.lower()
    if name in OPERATORS:
        return OPERATORS[name].family
    matches = (family for family, patterns in _PATTERNS.items() if any(fnmatchcase(name, glob) for glob in patterns))
    return next(matches, "other")
