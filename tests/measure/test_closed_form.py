"""Two counters that share no code agree: closed forms from papers, and torch's count of a model that is built."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from vigbench.measure.closed_form import closed_form_macs, cnn, hierarchical, linear_complexity, transformers, vig
from vigbench.measure.cost import count_cost
from vigbench.subjects.building import build_on_meta
from vigbench.subjects.catalog import build_subject, resolve_implementations

MACS = json.loads((Path(__file__).parents[1] / "golden" / "macs.json").read_text())
RESOLUTIONS = (224, 250, 512, 1024)  # 250: no patch, stride or window divides it
SIZED = re.compile("deit|vit_|swin|xcit|hiera")  # built for one resolution
QUICK = re.compile("tiny|_b1$|040$|resnet50|dinov2")  # the smallest of each architecture


def families() -> Iterator[Any]:
    for family in (transformers, hierarchical, cnn, linear_complexity, vig):
        for subject in family.FORMULAS:
            for resolution in RESOLUTIONS:
                slow = resolution > 224 or not QUICK.search(subject)
                yield pytest.param(
                    subject,
                    resolution,
                    marks=pytest.mark.slow if slow else (),
                    id=f"{family.__name__.rpartition('.')[2]}-{subject}-{resolution}",
                )


@lru_cache(maxsize=1)
def built(subject: str, resolution: int | None) -> nn.Module:
    """The model; None: one that is the same for every resolution."""
    implementation = resolve_implementations(subject, [], "cpu")[0]
    return build_on_meta(lambda: build_subject(subject, implementation, resolution or 224))


def counted(subject: str, resolution: int) -> int | None:
    try:
        model = built(subject, resolution if SIZED.match(subject) else None)
        return count_cost(model, (1, 3, resolution, resolution)).macs
    except ValueError:  # it cannot be built for this resolution (UnsupportedError), or does not run at it
        return None


@pytest.mark.parametrize(("subject", "resolution"), list(families()))
def test_both_counters_agree(subject: str, resolution: int) -> None:
    macs, expected = counted(subject, resolution), closed_form_macs(subject, resolution)
    if expected is None:
        assert macs is None, f"{subject} takes {resolution} px, of which its formula does not know"
    else:
        assert macs == expected


@pytest.mark.parametrize(
    ("subject", "key", "total"),
    [
        ("vig_tiny_patch16_224", "vig_t", "total"),
        ("vig_h_tiny_patch4_224", "vig_h_t", "total"),
        ("deit_tiny_patch16_224", "deit_t", "total_with_attn_matmuls"),
    ],
)
def test_reference_counts_are_met_exactly(subject: str, key: str, total: str) -> None:
    for resolution, counts in MACS[key].items():
        assert closed_form_macs(subject, int(resolution)) == counts[total]


@pytest.mark.parametrize(
    ("subject", "resolution", "gmacs"),
    [
        ("vim_tiny_patch16_224", 224, 1.532),
        ("vim_small_patch16_224", 224, 5.331),
        ("vim_base_patch16_224", 224, 19.724),
        ("vim_tiny_patch16_224", 512, 7.97),
        ("vim_tiny_patch16_224", 1024, 31.87),
        ("vim_tiny_patch16_224", 1248, 47.33),
        ("vrwkv_tiny_patch16_224", 224, 1.156 + 12 * 8 * 196 * 192 / 1e9),
        ("vrwkv_small_patch16_224", 224, 4.567 + 12 * 8 * 196 * 384 / 1e9),
        ("vrwkv_base_patch16_224", 224, 18.151 + 12 * 8 * 196 * 768 / 1e9),
    ],
)
def test_reference_counts_are_met_to_their_digits(subject: str, resolution: int, gmacs: float) -> None:
    macs = closed_form_macs(subject, resolution)
    assert macs is not None
    assert macs / 1e9 == pytest.approx(gmacs, abs=0.005 if resolution > 224 else 0.0005)


# timm's results CSVs and the papers' tables; counters that include norms are up to 1% above the rule
PUBLISHED_GMACS = {
    "swin_tiny_patch4_window7_224": 4.51,
    "swin_small_patch4_window7_224": 8.77,
    "swin_base_patch4_window7_224": 15.47,
    "convnext_tiny": 4.47,
    "convnext_small": 8.71,
    "convnext_base": 15.38,
    "regnety_040": 4.00,
    "regnety_080": 8.00,
    "regnety_160": 15.96,
    "resnet50": 4.11,
    "resnet101": 7.83,
    "resnet152": 11.56,
    "xcit_tiny_12_p16_224": 1.24,
    "xcit_small_12_p16_224": 4.82,
    "xcit_small_24_p16_224": 9.10,
    "xcit_medium_24_p16_224": 16.13,
}


@pytest.mark.parametrize("subject", PUBLISHED_GMACS)
def test_published_counts_are_met(subject: str) -> None:
    macs = closed_form_macs(subject, 224)
    assert macs is not None
    assert 0.99 * PUBLISHED_GMACS[subject] <= macs / 1e9 <= PUBLISHED_GMACS[subject]


def test_a_subject_without_a_formula_has_none() -> None:
    assert closed_form_macs("resnet18", 224) is None
    assert closed_form_macs("there_is_none", 224) is None


@pytest.mark.parametrize(("subject", "multiple"), [("xcit_tiny_12_p16_224", 16), ("hiera_tiny_224", 32)])
def test_a_resolution_that_the_model_does_not_take_has_none(subject: str, multiple: int) -> None:
    taken = [side for side in range(224, 320) if closed_form_macs(subject, side) is not None]
    assert taken == list(range(224, 320, multiple))


def test_formulas_know_neither_torch_nor_timm() -> None:
    code = "import sys, vigbench.measure.closed_form; print({'torch', 'timm'} & set(sys.modules))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code]
    output = subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout
    assert output.strip() == "set()"
