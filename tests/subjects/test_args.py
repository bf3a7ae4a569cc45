"""Models built with further arguments: passed on, counted as what they are, and refused where nobody takes them."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from vigbench.analysis.crossovers import crossovers
from vigbench.measure.closed_form import closed_form_macs
from vigbench.report.rows import read_cases
from vigbench.runner.case import create_case
from vigbench.runner.survey import gmacs_of
from vigbench.subjects.catalog import IMAGES, build_case
from vigbench.suites.case import Case
from vigbench.worker.survey import count_subject

MODULE = """
from torch import nn

def make(img_size=32, width=4, in_chans=3): return nn.Sequential(nn.Conv2d(in_chans, width, 3), nn.AdaptiveAvgPool2d(1))
def needs(width): return make(width=width)
def takes_all(**settings): return make(**settings)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "args_models.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one])
    yield "args_models"
    sys.modules.pop("args_models", None)


def case(subject: str, resolution: int = 64, **args: object) -> Case:
    return create_case(subject, args=args, resolution=resolution, device="cpu", threads=1)


@pytest.mark.parametrize(
    "subject",
    ["resnet18", "vig_tiny_patch16_224", "deit_tiny_patch16_224", "args_models:make", "args_models:takes_all"],
)
def test_images_have_the_channels_that_the_model_is_built_for(module: str, subject: str) -> None:
    grey = case(subject, 32, in_chans=1)
    image = IMAGES.make_inputs(grey)["image"]
    assert image.shape == (1, 1, 32, 32)
    assert IMAGES.call(build_case(grey).eval(), {"image": image}).shape[0] == 1
    assert count_subject(grey).macs < count_subject(case(subject, 32)).macs


def test_no_closed_form_of_the_plain_model_is_taken_for_it() -> None:
    plain, other = case("deit_tiny_patch16_224"), case("deit_tiny_patch16_224", depth=2)
    assert closed_form_macs(plain.model, 64) is not None
    assert closed_form_macs(other.model, 64) is None
    assert gmacs_of(other) < 0.5 * gmacs_of(plain)


@pytest.mark.parametrize(
    ("subject", "args", "message"),
    [
        (
            "resnet18",
            {"in_chanz": 1},
            r"resnet18\(in_chanz=1\) cannot be built: TypeError: .*in_chanz.* Give args that",
        ),
        ("resnet18", {"img_size": 64}, "args: img_size follows from the axis resolution"),
        ("resnet18", {"pretrained": True}, "every model is measured with seeded weights; leave pretrained out"),
        ("resnet18", {"layers": {}}, "args: layers holds dict"),
        (
            "args_models:make",
            {"wdith": 8},
            "takes no argument 'wdith'; did you mean 'width'.*It takes: img_size, width",
        ),
        ("args_models:needs", {}, r"needs arguments \(width\); give them defaults, or values as args in a suite"),
    ],
)
def test_mistakes_end_before_anything_is_measured(
    module: str, subject: str, args: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        case(subject, **args)
    assert "\n" not in str(caught.value)


def test_a_needed_argument_can_be_given(module: str) -> None:
    assert count_subject(case("args_models:needs", width=8)).params == 8 * 27 + 8


def frame() -> pd.DataFrame:
    rows = []
    for args, slope in (("", 2.0), ('{"in_chans": 1}', 1.0)):
        for side in (64, 128, 256):
            row = {"subject": "resnet18", "args": args, "implementation": "default", "resolution": side}
            row |= {"batch_size": 1, "precision": "float32", "phase": "inference", "device": "cpu", "compile": False}
            row |= {"cuda_graph": False, "memory_format": "contiguous", "tf32": False, "threads": 1, "run": "r"}
            rows.append({**row, "status": "ok", "family": "cnn", "latency_ms": slope * side**2, "unit": "image"})
    return pd.DataFrame(rows)


def test_they_are_two_curves_that_stand_side_by_side() -> None:
    found = crossovers(frame())
    assert {(row["a"], row["b"]) for row in found.to_dict("records")} == {
        ("resnet18", "resnet18(in_chans=1)"),
        ("resnet18(in_chans=1)", "resnet18"),
    }
    cases = read_cases(frame())
    assert len(cases.groups) == 1
    assert {row["label"] for row in cases.rows} == {"ResNet-18", "ResNet-18(in_chans=1)"}
