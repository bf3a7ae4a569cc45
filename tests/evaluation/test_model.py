"""Models over resolutions, and what is made of an image."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data import ImageDataset, create_transform, resolve_model_data_config
from torch import Tensor

from tests.evaluation.pictures import CLASSES, MODEL, compute, from_timm, prepare, save_model, settings
from vigbench.evaluation.checkpoint import read_checkpoint
from vigbench.evaluation.data import read_image_folder
from vigbench.evaluation.folder import EvaluationFolder
from vigbench.evaluation.model import build_for_evaluation, logits_of, preprocessing, require_runnable
from vigbench.records.accuracy import read_accuracy, read_predictions
from vigbench.subjects.catalog import create_model
from vigbench.suites.axes import Precision
from vigbench.suites.case import Case

pytestmark = pytest.mark.slow


def ramp(columns: int, grid: int = 14) -> Tensor:
    """Where the middles of the columns of another grid lie, counted in columns of the grid of 224 px."""
    return (torch.arange(columns) + 0.5) * grid / columns - 0.5


@pytest.mark.parametrize("subject", ["deit_tiny_patch16_224", "vig_tiny_patch16_224", "vim_tiny_patch16_224"])
def test_a_checkpoint_of_224_px_is_used_at_384_with_its_positions_between_those_it_had(
    subject: str, tmp_path: Path
) -> None:
    """Positions that grow evenly from left to right do so on the finer grid too: the edges alone may bend."""
    saved = create_model(subject, num_classes=len(CLASSES))
    state = saved.state_dict()
    positions = torch.arange(14.0).repeat(14)
    if subject.startswith("deit"):
        positions = torch.cat([torch.tensor([99.0]), positions])
    elif subject.startswith("vim"):
        positions = torch.cat([positions[:98], torch.tensor([99.0]), positions[98:]])
    state["pos_embed"] = positions[None, :, None].expand_as(state["pos_embed"]).clone()
    torch.save({"model": state}, tmp_path / "at-224.pt")

    case = Case(subject=subject, implementation="default", resolution=384)
    case = case.model_copy(update={"implementation": "sdpa" if subject.startswith("deit") else "auto"})
    model: Any = build_for_evaluation(case, read_checkpoint(tmp_path / "at-224.pt"))
    if subject.startswith("deit"):
        own, found = model.pos_embed[0, 0], model.pos_embed[0, 1:]
    else:
        found = model.resized_pos_embed(24, 24).reshape(-1, 192)
        own = found[288] if subject.startswith("vim") else torch.tensor(99.0)
        found = torch.cat([found[:288], found[289:]]) if subject.startswith("vim") else found
    grid = found.reshape(24, 24, 192)
    expected = ramp(24)[None, :, None].expand_as(grid)
    # torch's cubic kernel without antialiasing (a = -0.75, as released) is not quite exact for straight lines
    atol = 1e-3 if subject.startswith("deit") else 0.06
    torch.testing.assert_close(grid[:, 4:-4], expected[:, 4:-4], rtol=0, atol=atol)
    torch.testing.assert_close(own, torch.full_like(own, 99.0))
    for name, weight in model.state_dict().items():
        if name != "pos_embed":
            assert torch.equal(weight, state[name]), name
    assert logits_of(model, torch.zeros(1, 3, 384, 384), case).shape == (1, len(CLASSES))


def test_it_is_what_timm_loads_at_another_size(tmp_path: Path) -> None:
    path = save_model(tmp_path / "vit.pt")
    case = Case(subject=MODEL, implementation="sdpa", resolution=224)
    ours = build_for_evaluation(case, read_checkpoint(path))
    timms = from_timm(path, 224)
    for name, weight in timms.state_dict().items():
        assert torch.equal(ours.state_dict()[name], weight), name


@pytest.mark.parametrize("resolution", [96, 160])
def test_predictions_are_those_of_timms_data_set_transform_and_model(
    resolution: int, data: Path, checkpoint: Path, tmp_path: Path
) -> None:
    evaluation = prepare(settings(MODEL, resolution), checkpoint, data)
    folder = EvaluationFolder.create(tmp_path / "results", evaluation.info)
    rows = compute(evaluation, folder)
    model = from_timm(checkpoint, resolution).eval()
    config = {**resolve_model_data_config(model), "input_size": (3, resolution, resolution)}
    transform = create_transform(**config, is_training=False)
    reader = ImageDataset(str(data)).reader
    tensors = []
    for path, _ in reader.samples:  # ImageDataset itself passes over what it cannot read, and leaves files open
        with Image.open(path) as image:
            tensors.append(transform(image.convert("RGB")))
    found = read_predictions(folder.folder, resolution)
    assert [one.image for one in found] == reader.filenames()
    assert [one.label for one in found] == [label for _, label in reader.samples]
    with torch.inference_mode():
        logits = model(torch.stack(tensors))
    assert logits.std() > 0.1  # the images do not all look alike to it
    ranked = logits.gather(1, torch.tensor([one.ranks for one in found]))
    torch.testing.assert_close(ranked, logits.topk(5).values, rtol=1e-3, atol=1e-3)
    assert rows is not None
    assert rows[0].top1_percent == pytest.approx(100 * np.mean([one.ranks[0] == one.label for one in found]))
    assert rows == list(read_accuracy(folder.folder).rows)
    assert evaluation.info["transforms"][str(resolution)]["crop_pct"] == config["crop_pct"]


def test_precision_casts_and_logits_that_overflow_count_as_wrong(
    nets: Callable[[str], Path], data: Path, tmp_path: Path
) -> None:
    for precision, not_finite in ((Precision.float16, 18), (Precision.bfloat16, 0)):
        chosen = settings("evaluated_nets:make_half", 32, precision=precision)
        evaluation = prepare(chosen, nets("make_half"), data)
        rows = compute(evaluation, EvaluationFolder.create(tmp_path / "results", evaluation.info))
        assert rows is not None
        assert rows[0].not_finite_images == not_finite
        assert (rows[0].top1_percent == 0) or not not_finite


def test_the_crop_is_the_models_at_every_resolution_and_timms_other_one_is_named(tmp_path: Path, data: Path) -> None:
    path = save_model(tmp_path / "resnet18.pt", "resnet18")  # timm: 0.95 at 224 px, 1.0 at 288 px
    found = prepare(settings("resnet18", 64, 96), path, data).info
    assert [one["crop_pct"] for one in found["transforms"].values()] == [0.95, 0.95]
    assert found["notes"] == ["timm's own tables crop this model by 1, at 288 px; --crop-pct 1 does so here."]
    asked = prepare(settings("resnet18", 64, 96, crop_pct=0.9), path, data).info
    assert [one["crop_pct"] for one in asked["transforms"].values()] == [0.9, 0.9]
    assert not asked["notes"]


def test_another_number_of_classes_is_refused_with_both_numbers(tmp_path: Path, data: Path) -> None:
    with pytest.raises(ValueError, match=r"data has 6 classes, but test_vit with this checkpoint tells 9 apart\. Give"):
        prepare(settings(), save_model(tmp_path / "nine.pt", classes=9), data)


def test_a_resolution_that_the_model_does_not_take_is_refused_before_anything_is_written(
    nets: Callable[[str], Path], data: Path
) -> None:
    with pytest.raises(ValueError, match=r"evaluated_nets:make_rigid does not take 48 px: RuntimeError.* Leave this"):
        prepare(settings("evaluated_nets:make_rigid", 32, 48), nets("make_rigid"), data)


def test_a_model_that_classifies_nothing_is_refused(nets: Callable[[str], Path], data: Path) -> None:
    with pytest.raises(ValueError, match=r"returned an output of shape \(1, 6, 30, 30\); it has to return logits"):
        prepare(settings("evaluated_nets:make_features", 32), nets("make_features"), data)


def test_resolutions_are_sorted_and_each_is_evaluated_once(data: Path, checkpoint: Path) -> None:
    chosen = replace(settings(), resolutions=(160, 96, 160))
    assert prepare(chosen, checkpoint, data).settings.resolutions == (96, 160)


def test_an_operator_or_what_is_unknown_is_refused(data: Path, checkpoint: Path) -> None:
    for subject, expected in (("gla", "is an operator"), ("test_vitt", "test_vit"), ("nowhere:make", "no module")):
        with pytest.raises(ValueError, match=expected):
            prepare(settings(subject), checkpoint, data)
    assert "nowhere" not in sys.modules


@pytest.mark.parametrize("side", [28, 44])
def test_a_model_of_one_channel_gets_greys(nets: Callable[[str], Path], data: Path, tmp_path: Path, side: int) -> None:
    evaluation = prepare(settings("evaluated_nets:make_grey", side, crop_pct=1.0), nets("make_grey"), data)
    used = evaluation.info["transforms"][str(side)]
    assert (used["mode"], used["mean"], used["std"]) == ("L", pytest.approx([0.449]), pytest.approx([0.226]))
    assert any("images are read as greys (mean 0.449" in note for note in evaluation.info["notes"])
    folder = EvaluationFolder.create(tmp_path / "results", evaluation.info)
    assert compute(evaluation, folder) is not None
    model = build_for_evaluation(evaluation.settings.case(side), evaluation.checkpoint)
    transform = create_transform((1, side, side), crop_pct=1.0, interpolation="bicubic", mean=(0.449,), std=(0.226,))
    for one in read_predictions(folder.folder, side):
        with Image.open(data / one.image) as image:
            logits = model(transform(image.convert("L"))[None])
        assert logits.argmax() == one.ranks[0]


def test_a_configuration_says_which_channels_a_model_of_any_takes(data: Path) -> None:
    model: Any = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten(), torch.nn.LazyLinear(6))
    case, found = Case(subject="any", implementation="default", resolution=32), read_image_folder(data)
    model.pretrained_cfg = {"input_size": (1, 32, 32)}
    assert require_runnable(model, case, found, data) == 1
    assert preprocessing(timm.create_model("test_resnet", in_chans=1), 64, channels=1).config["mode"] == "L"


def test_other_channels_are_refused_by_their_number(nets: Callable[[str], Path], data: Path) -> None:
    with pytest.raises(ValueError, match=r"make_bands takes images of 4 channels, by its first convolution: .*greys"):
        prepare(settings("evaluated_nets:make_bands", 32), nets("make_bands"), data)


def test_a_model_that_ends_python_is_one_line(nets: Callable[[str], Path], data: Path) -> None:
    with pytest.raises(ValueError, match=r"make_leaving raised SystemExit: 3 in its forward pass\. Call it"):
        prepare(settings("evaluated_nets:make_leaving", 32), nets("make_leaving"), data)


def test_a_model_that_fails_midway_is_one_line_and_what_was_computed_is_kept(
    nets: Callable[[str], Path], data: Path, tmp_path: Path
) -> None:
    evaluation = prepare(settings("evaluated_nets:make_failing", 32), nets("make_failing"), data)
    folder = EvaluationFolder.create(tmp_path / "results", evaluation.info)
    with pytest.raises(ValueError, match=r"raised KeyError: 'no such thing' in its forward pass.*--resume"):
        compute(evaluation, folder)
