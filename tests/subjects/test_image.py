import pytest
import torch

from vigbench.subjects.catalog import IMAGES, build_case, task_of
from vigbench.subjects.image import smaller
from vigbench.suites.case import Case
from vigbench.suites.resolution import aspect_of, mean_side
from vigbench.worker.measure_case import measure_case

VIG = "vig_tiny_patch16_224"


@pytest.mark.parametrize(("resolution", "sides"), [(32, (32, 32)), ("32x48", (32, 48))])
def test_images_are_height_by_width_and_the_same_each_time(resolution: object, sides: tuple[int, int]) -> None:
    case = Case(subject="resnet18", resolution=resolution, batch_size=2, precision="bfloat16")
    image = IMAGES.make_inputs(case)["image"]
    assert (tuple(image.shape), image.dtype) == ((2, 3, *sides), torch.bfloat16)
    assert torch.equal(image, IMAGES.make_inputs(case)["image"])
    assert image.float().std() > 0.9


def test_the_memory_format_is_that_of_the_case() -> None:
    case = Case(subject="resnet18", resolution=32, memory_format="channels_last")
    assert IMAGES.make_inputs(case)["image"].is_contiguous(memory_format=torch.channels_last)


def test_models_take_images_and_operators_sequences() -> None:
    assert task_of(VIG).unit == task_of("resnet18").unit == "image"
    assert task_of("gla").unit == "sequence"
    with pytest.raises(ValueError, match="takes images, height x width: 8x32x32 has 3 sides, and 2 are needed"):
        IMAGES.require(Case(subject="resnet18", resolution="8x32x32"))


@pytest.mark.parametrize("subject", [VIG, "deit_tiny_patch16_224", "resnet18", "swin_tiny_patch4_window7_224"])
def test_models_are_built_for_images_that_are_not_square(subject: str) -> None:
    implementation = {VIG: "torch_chunk", "deit_tiny_patch16_224": "sdpa"}.get(subject, "default")
    implementation = "sdpa" if subject.startswith("swin") else implementation
    case = Case(subject=subject, implementation=implementation, resolution="224x448")
    with torch.inference_mode():
        out = IMAGES.call(build_case(case).eval(), IMAGES.make_inputs(case))
    assert out.shape == (1, 1000)


def test_a_smaller_image_has_about_the_same_proportions_and_sides_that_patches_divide() -> None:
    assert smaller(224, 256) == 224
    assert smaller(1024, 256) == 256
    assert smaller("224x320", 320) == "224x320"
    found = smaller("1024x2048", 256)
    assert (found, aspect_of(found)) == ("160x352", "5:11")
    assert mean_side(found) <= 256
    assert smaller("448x480", 112) == 96, "as a square is written"


@pytest.mark.parametrize("phase", ["inference", "training"])
def test_an_image_that_is_not_square_is_checked_counted_and_timed(phase: str) -> None:
    case = Case(subject=VIG, implementation="torch_chunk", resolution="64x96", phase=phase, threads=1)
    outcome = measure_case(case, 0.1, lambda stage: None)
    assert outcome.status == "ok", outcome.reason
    assert outcome.metrics.gate_resolution == "64x96"
    assert outcome.metrics.closed_form_gmacs is None, "formulas are of square images"
    square = measure_case(case.model_copy(update={"resolution": 64}), 0.1, lambda stage: None)
    assert outcome.metrics.gmacs is not None
    assert square.metrics.gmacs is not None
    assert outcome.metrics.gmacs == pytest.approx(1.5 * square.metrics.gmacs, rel=0.02)
