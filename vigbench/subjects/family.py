"""Families of subjects: what decides a curve's colour, and what a comparison is about. Imports nothing heavy."""

from __future__ import annotations

from fnmatch import fnmatchcase

_PATTERNS = {
    "vig": ("vig_*", "gla", "gla_from_logits"),
    "vim": ("vim_*",),
    "linear": (
        "gla_one_direction",
        "vrwkv_*",
        "xcit_*",
        "efficientvit_b*",
        "efficientvit_l*",
        "mambaout_*",
        "vmamba_*",
        "plainmamba_*",
    ),
    "deit": ("deit_*", "deit3_*", "vit_*", "attention", "causal_attention"),
    "windowed": ("swin*", "hiera_*", "pvt_*", "maxvit_*", "coatnet_*", "twins_*"),
    "cnn": ("resnet*", "convnext*", "regnet*", "efficientnet*", "mobilenet*", "densenet*", "vgg*"),
}


def family_of(subject: str) -> str:
    """vig, vim, linear, deit (plain softmax-attention transformers), windowed, cnn, or other.

    An operator belongs to the family whose token mixer it is.
    """
    name = subject.lower()
    matches = (family for family, patterns in _PATTERNS.items() if any(fnmatchcase(name, one) for one in patterns))
    return next(matches, "other")
