"""The task of volumes: inputs, labels, the loss, a scan window by window, what is compared and what is refused."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vigbench.models.volumes.networks import NETWORKS
from vigbench.ops.registry import UnsupportedError
from vigbench.subjects.catalog import build_case, describe, fill_weights, task_of
from vigbench.subjects.volume import VolumeTask, supervised
from vigbench.suites.axes import Phase
from vigbench.suites.case import Case

TASK = VolumeTask()
NARROW = '{"feature_size": 4}'
PHASES = (Phase.inference, Phase.training, Phase.training_step, Phase.sliding_window)
WINDOWS = {"phase": "sliding_window", "resolution": "40x32x70", "roi": 32}


def case_of(**settings: Any) -> Case:
    usual = {"subject": "glims", "implementation": "sdpa", "resolution": "32x64x32", "args": NARROW, "threads": 1}
    return Case(**{**usual, **settings})


@pytest.mark.parametrize("name", ["glims", *NETWORKS])
def test_networks_of_volumes_have_it(name: str) -> None:
    task = task_of(name)
    assert (task.name, task.unit, task.usual_resolution) == ("volume", "volume", 96)
    assert describe(name).family


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_inputs_are_those_of_a_size(phase: Phase, precision: str) -> None:
    if phase == Phase.sliding_window:
        pytest.importorskip("monai", minversion="1.6")
    pytest.importorskip("monai")
    case = case_of(phase=phase, precision=precision, batch_size=2, roi="32x32x64" if "window" in phase else None)
    inputs = TASK.make_inputs(case)
    assert set(inputs) == {"volume"} | ({"label"} if phase.trains else {"scan"} if "window" in phase else set())
    assert inputs["volume"].shape == (2, 4, *((32, 32, 64) if "window" in phase else (32, 64, 32)))
    for name, shape in (("label", (2, 3, 32, 64, 32)), ("scan", (2, 4, 32, 64, 32))):
        assert name not in inputs or inputs[name].shape == shape
    assert {str(x.dtype) for x in inputs.values()} == {f"torch.{precision}"}
    again = TASK.make_inputs(case)
    assert all(torch.equal(inputs[name], again[name]) for name in inputs), "a fixed seed"
    for x in (inputs[name].float() for name in inputs if name != "label"):
        assert abs(x.mean()) < 0.02
        assert abs(x.std() - 1) < 0.02


def test_channels_and_layout_are_the_case_s() -> None:
    case = case_of(args='{"in_chans": 2, "num_classes": 5}', phase="training", memory_format="channels_last")
    inputs = TASK.make_inputs(case)
    assert inputs["volume"].shape == (1, 2, 32, 64, 32)
    assert inputs["label"].shape == (1, 5, 32, 64, 32)
    assert inputs["volume"].is_contiguous(memory_format=torch.channels_last_3d)
    assert not inputs["volume"].is_contiguous()
    assert torch.equal(
        inputs["volume"], TASK.make_inputs(case.model_copy(update={"memory_format": "contiguous"}))["volume"]
    )


@pytest.mark.parametrize("resolution", [64, 96, "64x96x128"])
def test_labels_are_regions_one_inside_the_other(resolution: int | str) -> None:
    label = TASK.make_inputs(case_of(phase="training", batch_size=2, resolution=resolution))["label"]
    assert set(label.unique().tolist()) == {0.0, 1.0}
    assert (label[:, :-1] >= label[:, 1:]).all(), "nested"
    assert not torch.equal(label[0], label[1])
    for scale in (1, 2, 4, 8):
        inside = F.interpolate(label, scale_factor=1 / scale, mode="nearest").mean((2, 3, 4))
        assert ((inside > 0) & (inside < 0.5)).all(), "at every scale some voxels of each region, and not most"


def losses(logits: list[Tensor], label: Tensor) -> Tensor:
    """As GLIMS was trained, in plain words: Dice of each class's sigmoid, cross entropy over all classes."""
    total = torch.zeros((), dtype=torch.float64)
    for number, found in enumerate(logits):
        step = label.shape[-1] // found.shape[-1]
        y, p = label[..., ::step, ::step, ::step].double(), found.double().sigmoid()
        dice = 1 - (2 * (p * y).sum((2, 3, 4)) + 1e-5) / (p.sum((2, 3, 4)) + y.sum((2, 3, 4)) + 1e-5)
        entropy = -(y * found.double().log_softmax(1)).sum(1)
        total = total + (dice.mean() + entropy.mean()) / 2**number
    return total / sum(0.5**number for number in range(len(logits)))


@pytest.mark.parametrize("count", [1, 4])
def test_the_loss_is_dice_and_cross_entropy_of_each_size(count: int) -> None:
    losses_of_monai = pytest.importorskip("monai.losses")
    inputs = TASK.make_inputs(case_of(phase="training", batch_size=2))
    logits = [torch.randn(2, 3, 32 // 2**n, 64 // 2**n, 32 // 2**n) for n in range(count)]
    found = TASK.loss(logits if count > 1 else logits[0], inputs)
    torch.testing.assert_close(found.double(), losses(logits, inputs["label"]), rtol=1e-4, atol=0)
    criterion, weights = losses_of_monai.DiceCELoss(sigmoid=True), (1, 1 / 2, 1 / 4, 1 / 8)[:count]
    parts = [
        weight * criterion(x, F.interpolate(inputs["label"], x.shape[2:], mode="nearest"))
        for weight, x in zip(weights, logits, strict=True)
    ]
    torch.testing.assert_close(found, torch.stack(parts).sum() / sum(weights), rtol=1e-6, atol=0)
    half = TASK.loss([x.bfloat16() for x in logits], {"label": inputs["label"].bfloat16()})
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, found, rtol=0.02, atol=0)


def test_gradients_reach_the_model_and_its_volume() -> None:
    pytest.importorskip("monai")
    case = case_of(phase="training", resolution=32)
    model = build_case(case)
    fill_weights(model, 0)
    outputs, gradients = TASK.result(model.eval(), TASK.make_inputs(case), trains=True)
    assert list(outputs) == ["output 1", "output 2", "output 3", "output 4"], "of the mode that is measured"
    assert not model.training
    assert model.deep_supervision is None
    assert "volume" in gradients
    assert "label" not in gradients
    assert list(TASK.result(model, TASK.make_inputs(case_of(resolution=32)), trains=False)[0]) == ["output"]


def test_a_model_without_several_logits_has_none() -> None:
    plain = nn.Conv3d(4, 3, 1)
    with supervised(plain, True):
        assert not hasattr(plain, "deep_supervision")
    model = build_case(case_of(resolution=32))
    with supervised(model, True):
        assert model.deep_supervision is True
    assert model.deep_supervision is None


@pytest.mark.parametrize("phase", ["training", "training_step"])
def test_float16_is_not_trained(phase: str) -> None:
    with pytest.raises(UnsupportedError, match="choose bfloat16 or float32"):
        TASK.make_inputs(case_of(phase=phase, precision="float16"))
    assert TASK.make_inputs(case_of(precision="float16"))["volume"].dtype == torch.float16


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"resolution": "96x64"}, "takes volumes, depth x height x width: 96x64 has 2 sides"),
        ({"phase": "sampling", "resolution": 96}, "has no phase sampling: volumes are measured in inference"),
        ({**WINDOWS, "roi": "96x64"}, "takes windows, depth x height x width: 96x64 has 2 sides"),
        ({"subject": "resnet50", "args": "", "phase": "sliding_window"}, "has no phase sliding_window"),
    ],
)
def test_what_makes_no_sense_is_said_in_one_line(settings: dict[str, Any], said: str) -> None:
    case = case_of(**settings)
    with pytest.raises(ValueError, match=said) as error:
        task_of(case.subject).require(case)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("phase", PHASES)
def test_each_of_its_phases_is_taken(phase: Phase) -> None:
    pytest.importorskip("monai")
    TASK.require(case_of(phase=phase))
