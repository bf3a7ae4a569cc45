"""Names are short where they stay unique, and whole where they do not."""

from __future__ import annotations

import pytest

from vigbench.analysis.table import printable
from vigbench.report.names import labels, short_name


@pytest.mark.parametrize(
    ("subject", "short"),
    [
        ("vig_tiny_patch16_224", "ViG-T"),
        ("vig_h_small_patch4_224", "ViG-H-S"),
        ("deit_base_patch16_224", "DeiT-B"),
        ("swin_tiny_patch4_window7_224", "Swin-T"),
        ("convnext_tiny", "ConvNeXt-T"),
        ("convnext_tiny.fb_in1k", "ConvNeXt-T"),
        ("resnet50", "ResNet-50"),
        ("vim_tiny_patch16_224", "Vim-T"),
        ("vrwkv_tiny", "VRWKV-T"),
        ("hiera_base_224", "Hiera-B"),
        ("mambaout_small", "MambaOut-S"),
        ("regnety_040", "RegNetY-4GF"),
        ("regnety_160.pycls_in1k", "RegNetY-16GF"),
        ("regnetx_004", "RegNetX-0.4GF"),
        ("xcit_tiny_12_p16_224", "XCiT-T12/16"),
        ("pvt_v2_b1", "PVTv2-B1"),
        ("pvt_v2_b2_li", "pvt_v2_b2_li"),  # another model than PVTv2-B2
        ("efficientvit_b2", "EfficientViT-B2"),
        ("efficientvit_m2", "efficientvit_m2"),  # another paper's
        ("vit_small_patch14_reg4_dinov2", "DINOv2-S+reg"),
        ("deit_tiny_distilled_patch16_224", "deit_tiny_distilled_patch16_224"),  # another model than DeiT-T
        ("package.module:factory", "package.module:factory"),
    ],
)
def test_short_names(subject: str, short: str) -> None:
    assert short_name(subject) == short


def test_an_implementation_is_named_only_where_there_is_more_than_one() -> None:
    keys = [("deit_tiny_patch16_224", "sdpa"), ("deit_tiny_patch16_224", "eager"), ("vig_tiny_patch16_224", "default")]
    found = labels(keys)
    assert found == dict(zip(keys, ["DeiT-T (sdpa)", "DeiT-T (eager)", "ViG-T"], strict=True))


def test_two_subjects_never_share_a_label() -> None:
    subjects = ("deit_base_patch16_224", "deit_base_patch16_384")
    found = labels((subject, "default") for subject in subjects)
    assert sorted(found.values()) == sorted(subjects)


def test_control_characters_become_visible() -> None:
    assert printable("a\x00b\nc") == "a\N{REPLACEMENT CHARACTER}b c"
