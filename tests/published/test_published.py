"""The published values: every one has its source, and the suite measures exactly the models that have some."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from dataclasses import asdict
from decimal import Decimal
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import pytest

from vigbench.published import FILES, Published, all_published, is_rounded_from, published
from vigbench.subjects.catalog import describe
from vigbench.suites.loader import load_suite

GOLDEN = Path(__file__).parents[1] / "golden"
MACS = json.loads((GOLDEN / "macs.json").read_text())
GLIMS = json.loads((GOLDEN / "glims-models.json").read_text())
SWIN_UNETR = GLIMS["swin_unetr_48"]
VALUES = [("params_m", "params_source"), ("gmacs", "gmacs_source"), ("top1", "top1_source")]


def test_every_row_is_read_and_no_name_stands_twice_at_a_size() -> None:
    rows = []
    for name in FILES:
        with files("vigbench.published").joinpath(name).open(encoding="utf-8") as file:
            rows += list(csv.DictReader(file, strict=True))
    assert len(rows) == len(all_published()) >= 55
    assert {one.name for one in files("vigbench.published").iterdir() if one.name.endswith(".csv")} == set(FILES)
    for row in rows:
        assert None not in row.values(), f"{row['subject']} has fewer cells than the head"
        assert None not in row, f"{row['subject']} has more cells than the head"
        found = published(row["subject"], int(row["resolution"]))
        assert found is not None
        assert {name: "" if value is None else str(value) for name, value in asdict(found).items()} == row


@pytest.mark.parametrize("values", all_published(), ids=lambda values: f"{values.subject}-{values.resolution}")
def test_every_value_has_its_source_and_is_one(values: Published) -> None:
    for name, source in VALUES:
        assert (getattr(values, name) is None) == (getattr(values, source) == ""), name
    assert (values.gmacs is None) == (values.counted == ""), "a count says what it counts"
    assert values.counted_share is None or Decimal("0.5") < values.counted_share < Decimal("1.5")
    assert values.resolution in (96, 128, 224, 256)
    assert values.top1 is None or values.resolution == 224
    assert values.params_m is None or 1 < values.params_m < 1000
    assert values.gmacs is None or Decimal("0.05") < values.gmacs < 1000
    assert values.top1 is None or 50 < values.top1 < 100
    texts = [values.counted, values.note, values.params_source, values.gmacs_source, values.top1_source]
    assert all(text == text.strip() and "://" not in text and not text.endswith(".") for text in texts)


def test_small_models_come_first_within_an_architecture() -> None:
    for first, second in pairwise(all_published()):
        if first.subject == second.subject:
            assert first.resolution < second.resolution
            continue
        same = first.subject[:4] == second.subject[:4] and first.subject.count("_") == second.subject.count("_")
        if same and first.params_m and second.params_m:
            assert first.params_m < second.params_m, f"{first.subject} before {second.subject}"


def test_a_name_without_published_values_has_none() -> None:
    for name in ("resnet18", "gla", "package.module:factory", "convnext_tiny.fb_in22k", ""):
        assert published(name) is None
        assert published(name, 224) is None


def test_a_model_has_the_values_of_each_of_its_sizes() -> None:
    assert published("resnet50") is published("resnet50", 224)
    assert published("resnet50", 96) is published("resnet50", "224x320") is None
    found = {
        size: values and str(values.gmacs) for size in (None, 96, 128, 160) if (values := published("swin_unetr", size))
    }
    assert found == {None: "328.4", 96: "328.4", 128: "394.84"}


@pytest.mark.parametrize(
    ("printed", "value", "rounded"),
    [("1.2", 1.16, True), ("1.2", 1.25, True), ("1.2", 1.26, False), ("4.0", 4.04, True), ("28", 28.59, False)],
)
def test_rounding_goes_by_the_digits_that_were_printed(printed: str, value: float, rounded: bool) -> None:
    assert is_rounded_from(Decimal(printed), value) == rounded


def test_the_share_of_vig_is_what_its_way_of_counting_leaves_out() -> None:
    counts = MACS["vig_t"]["224"]
    counted = counts["total"] - counts["components"]["mlp_down"] - 2 * counts["gla_6LHKV"] / 3
    values = published("vig_tiny_patch16_224")
    assert values is not None
    assert values.counted_share is not None
    assert is_rounded_from(values.counted_share, counted / counts["total"])


@pytest.mark.parametrize("size", ["tiny", "small"])
def test_the_share_of_vim_is_what_its_way_of_counting_leaves(size: str) -> None:
    dim = {"tiny": 192, "small": 384}[size]
    inner, rank, tokens, state, kernel, depth = 2 * dim, dim // 16, 197, 16, 4, 24
    both = tokens * (dim * 2 * inner + inner * dim)  # the projections into and out of a block
    own = tokens * inner * (kernel + rank + 2 * state + rank)  # convolution, x_proj and dt_proj of one direction
    ends = 196 * 768 * dim + dim * 1000
    scan = tokens * inner * (5 * state + 2)  # one direction, as the source counts it
    full = ends + depth * (both + 2 * own + 2 * tokens * inner * (4 * state + 2))
    values = published(f"vim_{size}_patch16_224")
    assert values is not None
    assert values.counted_share is not None
    counted = ends + depth * (both + own + 2 * scan + tokens * dim)
    assert float(values.counted_share) == pytest.approx(counted / full, abs=1e-3)


@pytest.mark.parametrize("size", ["small", "base", "large", "xlarge"])
def test_the_share_of_dig_is_what_its_way_of_counting_leaves_out(size: str) -> None:
    dim, depth, hidden = {
        "small": (384, 12, 1024),
        "base": (768, 12, 2048),
        "large": (1024, 24, 2816),
        "xlarge": (1152, 28, 3072),
    }[size]
    tokens, rank, patch = 256, 16, 4
    projections = 3 * dim * dim + rank * (dim + dim // 2) + dim * dim  # q, k, v, g, the decay's two, and the output's
    mixed = 3 * dim * 32  # K 32 and V 64 a head: 3 (dim / 64) 32 64
    block = tokens * (projections + 9 * dim + 3 * dim * hidden + mixed) + 6 * dim * dim
    ends = tokens * (patch * 4 * dim + dim * patch * 8) + 256 * dim + dim * dim + 2 * dim * dim
    full, left_out = depth * block + ends, depth * tokens * (dim * hidden + mixed)
    values = published(f"dig_{size}_patch2")
    assert values is not None
    assert values.counted_share is not None
    assert values.gmacs is not None
    assert float(values.counted_share) == pytest.approx(1 - left_out / full, abs=1e-3)
    assert float(values.gmacs) == pytest.approx((full - left_out) / 1e9, rel=5e-3), "all but norms"


def test_glims_has_its_published_parameters_and_its_multiply_adds_in_no_way_that_is_known() -> None:
    values, gmacs = published("glims", 96), GLIMS["macs_96_4to3"]["total"] / 1e9
    assert values is not None
    assert values.params_m is not None
    assert values.gmacs is not None
    assert is_rounded_from(values.params_m, GLIMS["params_total"] / 1e6)
    assert values.counted_share is None
    assert float(values.gmacs) / gmacs == pytest.approx(1.269, abs=1e-3)
    tools = (71.35, 70.13, 80.95, 80.97, 67.59, 57.77, 70.55, 69.25, 60.54, 60.85)  # ptflops, thop, torchinfo, fvcore
    assert not any(is_rounded_from(values.gmacs, one) for one in tools)
    assert f"{min(tools)} to {max(tools)}" in values.counted


@pytest.mark.parametrize(("size", "by_thop"), [(96, 328.26), (128, 789.688 / 2)])
def test_the_shares_of_swin_unetr_are_those_of_what_thop_gives(size: int, by_thop: float) -> None:
    values = published("swin_unetr", size)
    assert values is not None
    assert values.params_m is not None
    assert values.counted_share is not None
    assert values.gmacs is not None
    left_out = 197_730 + 17_280
    assert not is_rounded_from(values.params_m, SWIN_UNETR["params_total"] / 1e6)
    assert is_rounded_from(values.params_m, (SWIN_UNETR["params_total"] - left_out) / 1e6)
    assert f"{SWIN_UNETR['params_total'] - left_out:,}" in values.note
    gmacs = SWIN_UNETR[f"macs_{size}_4to3"]["total"] / 1e9
    assert is_rounded_from(values.counted_share, by_thop / gmacs)
    assert float(values.gmacs) == pytest.approx(by_thop, rel=1e-3)


def test_the_suite_and_the_data_at_224_px_have_the_same_models() -> None:
    at_224 = {values.subject for values in all_published() if values.resolution == 224}
    assert {entry.name for entry in load_suite("backbones-224").subjects} == at_224


@pytest.mark.parametrize("subject", dict.fromkeys(values.subject for values in all_published()))
def test_every_model_can_be_built_by_its_name(subject: str) -> None:
    if subject == "swin_unetr":
        pytest.importorskip("monai")
    assert describe(subject).name == subject


def test_timm_knows_every_model_of_224_px() -> None:
    import timm

    import vigbench  # noqa: F401  registers its models

    at_224 = [values.subject for values in all_published() if values.resolution == 224]
    assert [subject for subject in at_224 if not timm.is_model(subject)] == []


def test_the_data_need_neither_torch_nor_pandas() -> None:
    code = "import sys; from vigbench.published import published; published('resnet50'); print({'torch', 'pandas'} & "
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", f"{code}set(sys.modules))"]
    output = subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout
    assert output.strip() == "set()"
