"""The task of volumes: inputs, labels, the loss, a scan window by window, what is compared and what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor, nn

from vigbench.models.volumes.networks import NETWORKS
from vigbench.ops.registry import UnsupportedError
from vigbench.subjects import window_progress
from vigbench.subjects.catalog import build_case, describe, fill_weights, task_of
from vigbench.subjects.volume import VolumeTask, supervised
from vigbench.suites.axes import Phase
from vigbench.suites.case import Case
from vigbench.suites.windows import windows_of
from vigbench.worker.build import build_on_device
from vigbench.worker.check_subject import CheckResult, WrongResultError, check

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


@pytest.mark.parametrize("resolution", [32, 64, "32x96x64"])
def test_labels_are_regions_one_inside_the_other(resolution: int | str) -> None:
    label = TASK.make_inputs(case_of(phase="training", batch_size=3, resolution=resolution))["label"]
    assert set(label.unique().tolist()) == {0.0, 1.0}
    assert (label[:, :-1] >= label[:, 1:]).all(), "nested"
    assert not torch.equal(label[0], label[1])
    for scale in (1, 2, 4, 8):
        inside = F.interpolate(label, scale_factor=1 / scale, mode="nearest").mean((2, 3, 4))
        assert ((inside > 0) & (inside < 0.5)).all(), "at every scale some voxels of each region, and not most"


def losses(logits: list[Tensor], label: Tensor) -> Tensor:
    """Dice and cross entropy of sigmoids, as GLIMS was trained, in plain words."""
    total = torch.zeros((), dtype=torch.float64)
    for number, found in enumerate(logits):
        step = label.shape[-1] // found.shape[-1]
        y, p = label[..., ::step, ::step, ::step].double(), found.double().sigmoid()
        dice = 1 - (2 * (p * y).sum((2, 3, 4)) + 1e-5) / (p.sum((2, 3, 4)) + y.sum((2, 3, 4)) + 1e-5)
        entropy = -(y * p.log() + (1 - y) * (1 - p).log())
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
    with pytest.raises(ZeroDivisionError), supervised(model, True):
        assert model.deep_supervision is True
        raise ZeroDivisionError
    assert model.deep_supervision is None


def uneven(windows: Tensor) -> Tensor:
    """Logits that depend on where in its window a voxel lies, so that weights matter."""
    places = torch.linspace(0, 1, windows.shape[-1])
    return (windows[:, :3] * (1 + places)).tanh() + windows.mean((1, 2, 3, 4), keepdim=True)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"weighting": "constant", "overlap": 0.25},
        {"roi": "32x32x64", "window_batch": 3, "batch_size": 2},
        {"resolution": "20x40x24", "gather": "host"},
    ],
)
def test_a_scan_is_covered_as_monai_does(settings: dict[str, Any]) -> None:
    inferers = pytest.importorskip("monai.inferers")
    case, seen = case_of(**{**WINDOWS, **settings}), []
    inputs = TASK.make_inputs(case)

    def model(windows: Tensor) -> Tensor:
        seen.append(tuple(windows.shape))
        return uneven(windows)

    found = TASK.outputs(TASK.iterate(model, inputs, case))["output"]
    roi = (32, 32, 64) if case.roi == "32x32x64" else (32, 32, 32)
    expected = inferers.sliding_window_inference(
        inputs["scan"], roi, case.window_batch, uneven, case.overlap, str(case.weighting)
    )
    assert torch.equal(found, expected)
    assert found.shape[2:] == inputs["scan"].shape[2:]
    assert sum(shape[0] for shape in seen) == case.windows * case.batch_size  # type: ignore[operator]
    assert {shape[2:] for shape in seen} == {roi}
    assert max(shape[0] for shape in seen) == case.window_batch


@given(st.data())
def test_windows_are_as_many_as_monai_s(data: st.DataObject) -> None:
    utils = pytest.importorskip("monai.data.utils")
    inferers = pytest.importorskip("monai.inferers.utils")
    scan, roi = (data.draw(st.tuples(*[st.integers(1, most)] * 3)) for most in (300, 128))
    overlap = data.draw(st.floats(0, 0.95) | st.sampled_from([0.25, 0.5, 0.8]))
    padded = [max(side, window) for side, window in zip(scan, roi, strict=True)]
    apart = inferers._get_scan_interval(padded, roi, 3, (overlap,) * 3)
    assume(windows_of(scan, roi, overlap) < 20_000)
    assert windows_of(scan, roi, overlap) == len(utils.dense_patch_slices(padded, roi, apart))


@pytest.mark.parametrize(
    ("roi", "overlap", "count"), [(96, 0.25, 18), (96, 0.5, 48), (96, 0.8, 405), (128, 0.5, 18), (128, 0.8, 108)]
)
def test_windows_of_a_brain(roi: int, overlap: float, count: int) -> None:
    assert windows_of((240, 240, 155), (roi,) * 3, overlap) == count


def test_progress_is_told_to_whoever_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("monai")
    case, told = case_of(**WINDOWS), []
    inputs = TASK.make_inputs(case)
    TASK.iterate(uneven, inputs, case)
    window_progress.listen(told.append)
    try:
        TASK.iterate(uneven, inputs, case)
        assert told == [], "at most once a second"
        monkeypatch.setattr(window_progress, "EVERY_S", 0.0)
        TASK.iterate(uneven, inputs, case)
    finally:
        window_progress.listen(None)
    assert told == [f"{done} of {case.windows} windows" for done in range(1, case.windows or 0)]
    TASK.iterate(uneven, inputs, case)
    assert len(told) == (case.windows or 0) - 1


def judged(case: Case, change: Callable[[nn.Module], None] = lambda model: None) -> CheckResult:
    model = build_on_device(case)
    change(model)
    return check(model, case, TASK, "attention", TASK.make_inputs(case))


def spoil(name: str) -> Callable[[nn.Module], None]:
    """What one module gives is a twentieth too large, but not in a copy of the model."""

    def change(model: nn.Module) -> None:
        own = model.get_submodule(name)
        own.register_forward_hook(lambda module, args, out: out * 1.05 if module is own else out)

    return change


def test_the_gate_compares_all_four_logits_in_training() -> None:
    pytest.importorskip("monai")
    training = case_of(phase="training", resolution=32)
    right = judged(training)
    assert right.error is not None
    assert right.gradient_error is not None
    assert max(right.error, right.gradient_error) < 1e-3
    assert right.size == {"resolution": 32}
    with pytest.raises(WrongResultError, match=r"output 4 with sdpa differs from the reference by 5\.0e-02"):
        judged(training, spoil("out4"))
    judged(case_of(resolution=32), spoil("out4"))  # nobody asks for it
    with pytest.raises(WrongResultError, match="differs from the reference"):
        judged(case_of(resolution=32), spoil("t3.layer.blocks.1.attn.proj"))


def test_dilated_convolutions_of_another_code_are_compared_with_the_plain_one() -> None:
    plain, other = (case_of(resolution=32, implementation="eager", args=args) for args in (NARROW, ""))
    assert judged(plain).error == 0.0, "it is the reference"
    model = build_case(plain).eval()
    for module in model.modules():
        if hasattr(module, "use_reference"):
            module.implementation = "triton_fused"
    assert not TASK.is_reference(model, other, "attention")
    twin, dtype = TASK.reference(model, "attention")
    assert dtype == torch.float32
    assert TASK.is_reference(twin, other, "attention")
    codes = {module.implementation for module in twin.modules() if hasattr(module, "use_reference")}
    assert codes == {"reference"}
    assert not TASK.is_reference(model, other, "attention"), "the case's own is left as it is"


@pytest.mark.parametrize("phase", ["training", "training_step"])
def test_float16_is_not_trained(phase: str) -> None:
    with pytest.raises(UnsupportedError, match="choose bfloat16 or float32"):
        TASK.make_inputs(case_of(phase=phase, precision="float16"))
    assert TASK.make_inputs(case_of(precision="float16"))["volume"].dtype == torch.float16


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"resolution": "96x96"}, "takes volumes, depth x height x width: 96x96 has 2 sides"),
        ({"phase": "sampling", "resolution": 96}, "has no phase sampling: volumes are measured in inference"),
        ({**WINDOWS, "roi": "96x96"}, "takes windows, depth x height x width: 96x96 has 2 sides"),
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


@pytest.mark.parametrize("channels", [None, 1, 4])
def test_a_scan_of_a_file_is_what_is_covered(channels: int | None, tmp_path: Path) -> None:
    pytest.importorskip("monai")
    shape = (20, 36, 40) if channels is None else (channels, 20, 36, 40)
    values = np.random.default_rng(0).gamma(2, 300, shape).astype(np.float32)
    np.save(path := tmp_path / "scan.npy", values)
    inputs = TASK.make_inputs(
        case_of(phase="sliding_window", resolution="20x36x40", roi=32, scan=str(path), batch_size=2)
    )
    assert inputs["scan"].shape == (2, 4, 20, 36, 40)
    assert inputs["volume"].shape == (2, 4, 32, 32, 32)
    whole = torch.from_numpy(values).view(-1, 20, 36, 40).double()
    normed = (whole - whole.mean((1, 2, 3), keepdim=True)) / whole.std((1, 2, 3), keepdim=True, correction=0)
    for item in inputs["scan"]:
        torch.testing.assert_close(item, normed.expand(4, -1, -1, -1).float(), rtol=1e-3, atol=1e-4)


def test_a_scan_of_other_channels_is_refused_with_advice(tmp_path: Path) -> None:
    np.save(path := tmp_path / "scan.npy", np.ones((2, 8, 8, 8), np.float32))
    case = case_of(phase="sliding_window", resolution=8, roi=32, scan=str(path))
    with pytest.raises(ValueError, match=r"has 2 channels, and glims takes 4: .* args: \{in_chans: 2\}") as error:
        TASK.make_inputs(case)
    assert "\n" not in str(error.value)
    taken = TASK.make_inputs(case.model_copy(update={"args": '{"in_chans":2}'}))
    assert taken["scan"].shape == (1, 2, 8, 8, 8)
