"""Closed forms of networks for volumes, against reference counts and against the count of a network that is built."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from vigbench.measure.closed_form import closed_form_macs
from vigbench.measure.closed_form.products import Sides
from vigbench.measure.closed_form.volume_cnn import nnunet, segresnet, unet
from vigbench.measure.closed_form.volume_transformers import glims, swin_unetr, unetr
from vigbench.measure.cost import count_cost
from vigbench.models.volumes.networks import NETWORKS
from vigbench.subjects.building import build_on_meta
from vigbench.subjects.catalog import create_model

REFERENCE = json.loads((Path(__file__).parents[1] / "golden" / "glims-models.json").read_text())
PACKAGES = {"nnunet": "dynamic_network_architectures"}  # the others are MONAI's
FORMULAS: dict[str, Callable[[Sides, int, int], int | None]] = {
    "glims": glims,
    "swin_unetr": swin_unetr,
    "unet": unet,
    "unetr": unetr,
    "segresnet": segresnet,
    "nnunet": nnunet,
}


def built(subject: str, sides: Sides, in_chans: int = 4, classes: int = 3) -> nn.Module:
    if subject == "glims":
        return build_on_meta(lambda: create_model("glims", img_size=sides, in_chans=in_chans, num_classes=classes))
    pytest.importorskip(PACKAGES.get(subject, "monai"))
    return build_on_meta(lambda: NETWORKS[subject].create(sides, in_chans, classes))


def as_text(sides: Sides) -> str:
    return "x".join(map(str, sides))


@pytest.mark.parametrize("side", [96, 128])
def test_reference_counts_are_met_exactly(side: int) -> None:
    assert closed_form_macs("glims", side) == REFERENCE[f"macs_{side}_4to3"]["total"]
    assert closed_form_macs("swin_unetr", side) == REFERENCE["swin_unetr_48"][f"macs_{side}_4to3"]["total"]


@pytest.mark.parametrize(
    ("subject", "macs"),
    [
        ("glims", 56_983_898_064),
        ("swin_unetr", 321_752_249_664),
        ("unet", 5_620_727_808),
        ("unetr", 76_296_093_696),
        ("segresnet", 62_441_127_936),
        ("nnunet", 203_653_619_712),
    ],
)
def test_a_cube_is_written_with_one_side_or_three(subject: str, macs: int) -> None:
    assert closed_form_macs(subject, 96) == closed_form_macs(subject, "96x96x96") == macs


@pytest.mark.parametrize(
    ("subject", "side", "in_chans", "classes", "gmacs"),
    [
        ("glims", 32, 4, 3, 2.026),
        ("glims", 160, 4, 3, 279.033),
        ("glims", 192, 4, 3, 468.419),
        ("glims", 96, 1, 14, 57.154),
        ("glims", 128, 1, 14, 162.013),
        ("glims", 96, 1, 3, 56.920),
        ("glims", 128, 1, 3, 161.460),
        ("swin_unetr", 160, 4, 3, 1489.233),
        ("swin_unetr", 192, 4, 3, 2564.180),
        ("swin_unetr", 96, 1, 14, 318.525),
        ("swin_unetr", 128, 1, 14, 763.993),
        ("swin_unetr", 96, 1, 3, 318.058),
        ("swin_unetr", 128, 1, 3, 762.886),
    ],
)
def test_reference_counts_are_met_to_their_digits(
    subject: str, side: int, in_chans: int, classes: int, gmacs: float
) -> None:
    macs = FORMULAS[subject]((side, side, side), in_chans, classes)
    assert macs is not None
    assert round(macs / 1e9, 3) == gmacs


def test_logits_of_every_level_are_counted_in_training() -> None:
    macs = glims((96, 96, 96), logits=4)
    assert macs is not None
    assert round(macs / 1e9, 3) == 57.005


SHAPES = [
    ((96, 96, 96), 4, 3),
    ((160, 96, 64), 4, 3),
    ((64, 32, 32), 1, 14),  # the smallest of Swin UNETR
    ((32, 64, 224), 1, 3),
]


@pytest.mark.parametrize(("sides", "in_chans", "classes"), SHAPES, ids=lambda value: str(value))
@pytest.mark.parametrize("subject", FORMULAS)
def test_both_counters_agree(subject: str, sides: Sides, in_chans: int, classes: int) -> None:
    macs = count_cost(built(subject, sides, in_chans, classes), (1, in_chans, *sides)).macs
    assert macs == FORMULAS[subject](sides, in_chans, classes)
    if (in_chans, classes) == (4, 3):
        assert macs == closed_form_macs(subject, as_text(sides))


@pytest.mark.parametrize(
    ("subject", "sides"),
    [
        ("glims", (32, 32, 32)),
        ("unet", (16, 32, 48)),
        ("unetr", (16, 32, 48)),
        ("segresnet", (8, 8, 8)),
        ("segresnet", (24, 8, 40)),
    ],
)
def test_both_counters_agree_on_the_smallest(subject: str, sides: Sides) -> None:
    assert count_cost(built(subject, sides), (1, 4, *sides)).macs == closed_form_macs(subject, as_text(sides))


@pytest.mark.parametrize(
    ("subject", "sides"),
    [
        ("glims", (96, 96, 80)),
        ("glims", (16, 16, 16)),
        ("swin_unetr", (96, 96, 80)),
        ("swin_unetr", (32, 32, 32)),  # InstanceNorm finds no variance in the one voxel that is left
        ("unet", (96, 96, 88)),
        ("unet", (16, 16, 16)),
        ("unetr", (96, 96, 88)),
        ("segresnet", (96, 96, 84)),
        ("segresnet", (4, 4, 4)),
        ("nnunet", (96, 96, 80)),
        ("nnunet", (32, 32, 32)),
    ],
)
def test_a_size_that_the_network_does_not_take_has_none(subject: str, sides: Sides) -> None:
    assert closed_form_macs(subject, as_text(sides)) is None
    with pytest.raises((ValueError, RuntimeError)):
        built(subject, sides).eval()(torch.empty(1, 4, *sides, device="meta"))


@pytest.mark.parametrize("resolution", [None, 0, -32, "96x96", "8x96x96x96", "large"])
@pytest.mark.parametrize("subject", FORMULAS)
def test_what_is_no_size_of_a_volume_has_none(subject: str, resolution: int | str | None) -> None:
    assert closed_form_macs(subject, resolution) is None


def test_formulas_of_images_take_squares_only() -> None:
    assert closed_form_macs("resnet50", 224) is not None
    assert closed_form_macs("resnet50", "224x320") is None
    assert closed_form_macs("resnet50", None) is None
