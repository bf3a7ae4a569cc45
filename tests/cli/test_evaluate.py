"""`vigbench evaluate` end to end: scanned digits, a model trained here, and accuracies computed by hand."""

import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from scipy.stats import binomtest

from tests.cli.digits import HELD_OUT, RESOLUTIONS, Digits, train_on_digits
from tests.commands import outcome
from vigbench.records.accuracy import read_accuracy, read_predictions

pytestmark = pytest.mark.slow

Invoke = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Digits:
    return train_on_digits(tmp_path_factory.mktemp("digits"))


@pytest.fixture
def invoke(digits: Digits, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """vigbench in the folder of the digits; a command's options come after those given here."""
    monkeypatch.chdir(digits.folder)
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one])
    return outcome


def options(out: Path, **changed: str) -> list[str]:
    values = {
        "subject": "digit_net:make_net",
        "checkpoint": "net.pt",
        "data": "images",
        "resolution": ",".join(str(side) for side in RESOLUTIONS),
        "batch-size": "64",
        "device": "cpu",
        "threads": "1",
        "out": str(out),
        **changed,
    }
    return ["evaluate", *(word for name, value in values.items() for word in (f"--{name}", value))]


def only(out: Path) -> Path:
    (folder,) = out.iterdir()
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """The tables of an evaluation."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix == ".csv"}


def test_accuracies_are_those_computed_by_hand(digits: Digits, invoke: Invoke, tmp_path: Path) -> None:
    code, said, errors = invoke(*options(tmp_path))
    assert code == 0, errors
    found = read_accuracy(only(tmp_path))
    assert found.finished
    assert [row.resolution for row in found.rows] == list(RESOLUTIONS)
    for side in RESOLUTIONS:
        logits = digits.logits(side)
        order = logits.topk(5).indices
        predictions = read_predictions(found.folder, side)
        assert [Path("images", one.image) for one in predictions] == [
            path.relative_to(digits.folder) for path in digits.files
        ]
        ranked = logits.gather(1, torch.tensor([one.ranks for one in predictions]))
        torch.testing.assert_close(ranked, logits.topk(5).values, rtol=1e-4, atol=1e-4)
        right = order == digits.labels[:, None]
        first, five = int(right[:, 0].sum()), int(right.any(1).sum())
        row = found.at(side)
        assert row is not None
        assert (row.images, row.not_finite_images) == (HELD_OUT, 0)
        assert row.top1_percent == pytest.approx(100 * first / HELD_OUT)
        assert row.top5_percent == pytest.approx(100 * five / HELD_OUT)
        interval = binomtest(first, HELD_OUT).proportion_ci(method="wilson")
        assert (row.top1_low_percent, row.top1_high_percent) == pytest.approx((100 * interval.low, 100 * interval.high))
        assert f"{row.top1_percent:.2f}% ({row.top1_low_percent:.2f} to {row.top1_high_percent:.2f})" in said
    trained_at = found.at(32)
    assert trained_at is not None
    assert trained_at.top1_low_percent > 70  # chance is 10
    assert said.splitlines()[-1] == f"Accuracy: {found.folder / 'accuracy.csv'}"


def test_what_was_done_stands_beside_the_numbers(digits: Digits, invoke: Invoke, tmp_path: Path) -> None:
    code, _, errors = invoke(*options(tmp_path, resolution="32", **{"crop-pct": "1.0", "interpolation": "bilinear"}))
    assert code == 0, errors
    assert "the crop's side is 1 of the resized image's (bilinear, center)" in errors
    assert "the weights are the checkpoint's 'model'" in errors
    info = read_accuracy(only(tmp_path)).info
    assert info["checkpoint"]["file"] == "net.pt"
    assert info["data"] | {"paths_sha256": "", "classes_sha256": ""} == {
        "folder": "images",
        "images": HELD_OUT,
        "classes": 10,
        "paths_sha256": "",
        "classes_sha256": "",
    }
    assert "Resize(size=32, interpolation=bilinear" in info["transforms"]["32"]["steps"]
    assert info["settings"]["subject"] == "digit_net:make_net"
    assert info["environment"]["torch"] == torch.__version__
    assert [one["command_line"][:2] for one in info["sessions"]] == [["vigbench", "evaluate"]]


@contextmanager
def interrupt_after(batches: int) -> Iterator[None]:
    """A Ctrl-C while the model has the batch of that number, counted from 1."""
    wish = Path("interrupt.json")
    wish.write_text(json.dumps([os.getpid(), batches]))
    try:
        yield
    finally:
        wish.unlink()


@pytest.mark.parametrize("batches", [1, 3, 5, 7])  # 5 batches a resolution: in the first, at its end, in the second
def test_ctrl_c_keeps_the_batch_and_the_command_it_prints_completes_the_same_files(
    invoke: Invoke, tmp_path: Path, batches: int
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert invoke(*options(whole))[0] == 0
    with interrupt_after(batches):
        code, _, errors = invoke(*options(parts))
    assert code == 130
    kept = contents(only(parts))
    lines = sum(text.count(b"\n") - 1 for name, text in kept.items() if name.startswith("predictions"))
    assert lines == {1: 64, 3: 192, 5: 300, 7: 428}[batches]
    assert ("accuracy.csv" in kept) is (batches >= 5)
    again = errors.splitlines()[-1].partition("Continue with: ")[2]
    words = shlex.split(again)
    assert words[0] == "vigbench"
    code, _, errors = invoke(*words[1:])
    assert code == 0, errors
    assert contents(only(parts)) == contents(only(whole))
    assert len(read_accuracy(only(parts)).info["sessions"]) == 2


@pytest.mark.parametrize("lost_bytes", [1, 10, 700, 4000])
def test_a_torn_line_is_computed_again(invoke: Invoke, tmp_path: Path, lost_bytes: int) -> None:
    assert invoke(*options(tmp_path))[0] == 0
    folder = only(tmp_path)
    before = contents(folder)
    file = folder / "predictions-44.csv"
    file.write_bytes(before[file.name][:-lost_bytes])
    Path("batches.txt").unlink()
    code, _, errors = invoke(*options(tmp_path), "--resume", str(folder))
    calls = [int(line) for line in Path("batches.txt").read_text().split()]
    assert code == 0, errors
    assert contents(folder) == before
    assert 0 < sum(calls) < HELD_OUT  # what was whole is not computed again
    assert set(calls) <= {64, HELD_OUT % 64}  # in the batches of a run that was never interrupted


def test_reading_ahead_and_another_batch_size_change_nothing(invoke: Invoke, tmp_path: Path) -> None:
    assert invoke(*options(tmp_path / "a", resolution="32"))[0] == 0
    code, said, errors = invoke(*options(tmp_path / "b", resolution="32", workers="2", **{"batch-size": "50"}), "-q")
    assert code == 0, errors
    assert contents(only(tmp_path / "a")) == contents(only(tmp_path / "b"))
    assert said.splitlines()[0].startswith("32 px: top-1 ")  # quiet: no line for a tenth


def test_resuming_refuses_what_is_no_longer_the_same(digits: Digits, invoke: Invoke, tmp_path: Path) -> None:
    with interrupt_after(2):
        assert invoke(*options(tmp_path / "results"))[0] == 130
    folder = only(tmp_path / "results")
    other = tmp_path / "other.pt"
    torch.save({name: 2 * one for name, one in digits.net.state_dict().items()}, other)
    before = contents(folder)
    for changed, expected in (
        ({"checkpoint": str(other)}, "checkpoint.sha256"),
        ({"data": "seen"}, "data.paths_sha256"),
        ({"resolution": "32"}, "settings.resolutions: [32, 44] then, [32] now"),
        ({"precision": "bf16"}, 'settings.precision: "float32" then, "bfloat16" now'),
        ({"crop-pct": "1"}, "settings.crop_pct: null then, 1.0 now"),
        ({"threads": "2"}, "threads: 1 then, 2 now"),
    ):
        code, _, errors = invoke(*options(tmp_path / "results", **changed), "--resume", str(folder))
        assert code == 2
        assert expected in errors
        assert errors.count("\n") == 1
    assert contents(folder) == before
    code, _, errors = invoke(*options(tmp_path), "--resume", str(tmp_path))
    assert (code, "holds no accuracy.json" in errors) == (2, True)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"checkpoint": "nothing.pt"}, "no checkpoint at nothing.pt"),
        ({"checkpoint": "digit_net.py"}, "damaged, or no checkpoint of PyTorch or safetensors"),
        ({"subject": "resnet18"}, "net.pt does not fit ResNet: 122 weights are missing (conv1.weight"),
        ({"subject": "digit_net:make_wide"}, "2 have another shape (7.weight (10, 512) for (12, 512)"),
        ({"subject": "digit_net:make_nett"}, "did you mean 'make_net'"),
        ({"subject": "gla"}, "gla is an operator"),
        ({"data": "nowhere"}, "nowhere is no folder"),
        ({"data": "images/3"}, "images outside of a class's folder"),
        ({"data": "."}, "holds folders, such as"),
        ({"resolution": "32,big"}, "'big' is not a whole number"),
        ({"precision": "fp8"}, "--precision"),
        ({"crop-pct": "1.5"}, "--crop-pct 1.5 is not above 0"),
        ({"interpolation": "cubic"}, "--interpolation 'cubic' is unknown; choose from"),
        ({"implementation": "sdpa"}, "offers no choice of implementation"),
        ({"class-map": "nothing.txt"}, "--class-map: nothing.txt cannot be read"),
    ],
)
def test_mistakes_are_one_line_and_nothing_is_made(
    invoke: Invoke, tmp_path: Path, changed: dict[str, str], expected: str
) -> None:
    code, said, errors = invoke(*options(tmp_path / "results", **changed))
    assert code == 2
    assert expected in errors
    assert errors.count("\n") == 1
    assert said == ""
    assert not (tmp_path / "results").exists()
