"""Whatever is wrong with an input of `vigbench evaluate`: one line, exit code 2, and nothing half-written."""

import os
import pickle
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from tests.commands import outcome
from tests.evaluation.pictures import write_image
from vigbench.records.accuracy import read_accuracy, read_predictions

Invoke = Callable[..., tuple[int, str, str]]
Weights = dict[str, Tensor]


@pytest.fixture
def invoke(nets: Callable[[str], Path], data: Path, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """`vigbench evaluate` of a small net on `data`, all in the current folder; options come after those given here."""
    nets("make_net")
    assert data.parent == Path.cwd()
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one])

    def run(**changed: str) -> tuple[int, str, str]:
        values = {
            "subject": "evaluated_nets:make_net",
            "checkpoint": "make_net.pt",
            "data": "data",
            "resolution": "32",
            "device": "cpu",
            "threads": "1",
            **changed,
        }
        words = (word for name, value in values.items() for word in (f"--{name.replace('_', '-')}", value))
        return outcome("evaluate", *words)

    return run


def refused(found: tuple[int, str, str], expected: str) -> None:
    code, said, errors = found
    assert (code, said) == (2, "")
    assert expected in errors
    assert errors.startswith("vigbench: ")
    assert errors.count("\n") == 1
    assert len(errors) < 700
    assert not Path("results").exists()


def test_the_inputs_are_right_but_for_what_is_changed(invoke: Invoke) -> None:
    code, said, errors = invoke()
    assert (code, "32 px" in said) == (0, True), errors


CHECKPOINTS: dict[str, tuple[Callable[[Weights], object], str]] = {
    "a list": (lambda weights: list(weights.values()), "but one list"),
    "a tensor": (lambda weights: weights["0.weight"], "but one Tensor"),
    "a number": (lambda _: 3, "but one int"),
    "nothing": (lambda _: None, "but one NoneType"),
    "no entries": (lambda _: {}, "but nothing"),
    "an empty state dict": (lambda _: {"model": {}}, "but the keys model"),
    "numbers for names": (lambda weights: dict(enumerate(weights.values())), "but the keys 0, 1, 2, 3"),
    "numbers for weights": (lambda weights: dict.fromkeys(weights, 0.5), "but the keys 0.weight"),
    "lists for weights": (lambda weights: {name: one.tolist() for name, one in weights.items()}, "holds no state dict"),
    "arrays for weights": (lambda weights: {name: one.numpy() for name, one in weights.items()}, "holds no state dict"),
    "three wrappers": (lambda weights: {"a": {"b": {"c": weights}}}, "but the keys a"),
    "two models": (lambda weights: {"a": weights, "b": weights}, "weights in 2 entries (a, b)"),
    "an optimiser": (lambda weights: {"state": {0: weights}}, "but the keys state"),
    "a missing weight": (
        lambda weights: {"0.weight": weights["0.weight"]},
        "3 weights are missing (0.bias, 3.weight, ",
    ),
    "an unknown weight": (lambda weights: {**weights, "9.weight": torch.ones(1)}, "1 weights are unknown (9.weight)"),
    "another shape": (lambda weights: {**weights, "0.bias": torch.ones(5)}, "0.bias (5,) for (4,)"),
    "two copies": (
        lambda weights: {f"{net}.{name}": one for net in "ab" for name, one in weights.items()},
        "stand there 2 times, below a., b.",
    ),
    "bytes": (
        lambda weights: {name: (one * 9).to(torch.int8) for name, one in weights.items()},
        "4 are of another kind",
    ),
    "whole numbers": (lambda weights: {name: one.long() for name, one in weights.items()}, "0.weight whole for real"),
    "truth values": (lambda weights: {name: one > 0 for name, one in weights.items()}, "0.weight whole for real"),
    "complex numbers": (lambda weights: {name: one + 1j for name, one in weights.items()}, "0.weight complex for real"),
    "NaN": (lambda weights: {**weights, "0.bias": weights["0.bias"] * torch.nan}, "1 hold NaN (0.bias)"),
    "sparse": (lambda weights: {**weights, "3.weight": weights["3.weight"].to_sparse()}, "3.weight sparse for real"),
    "without values": (
        lambda weights: {name: one.to("meta") for name, one in weights.items()},
        "without values for real",
    ),
    "a whole model": (lambda _: nn.Linear(1, 1), "never run: torch.nn.modules.linear.Linear"),
    "an array of objects": (
        lambda weights: {"model": weights, "log": np.array([{}], object)},
        "never run: numpy.dtype",
    ),
    "a function": (lambda weights: {"model": weights, "schedule": os.getcwd}, "never run: "),
}


def test_a_model_that_gives_no_class(invoke: Invoke) -> None:
    refused(invoke(subject="dit_small_patch2"), "dit_small_patch2 takes latents: only classifiers of images")


@pytest.mark.parametrize("kind", CHECKPOINTS)
def test_a_checkpoint_of_another_kind(invoke: Invoke, kind: str) -> None:
    make, expected = CHECKPOINTS[kind]
    torch.save(make(torch.load("make_net.pt")), "odd.pt")
    refused(invoke(checkpoint="odd.pt"), expected)


def quantised(weights: Weights) -> object:
    return {**weights, "3.weight": torch.quantize_per_tensor(weights["3.weight"], 0.1, 0, torch.qint8)}


@pytest.mark.skipif(not hasattr(torch, "quantize_per_tensor"), reason="torch has no quantised tensors any more")
@pytest.mark.filterwarnings("ignore")
def test_a_quantised_checkpoint(invoke: Invoke) -> None:
    torch.save(quantised(torch.load("make_net.pt")), "odd.pt")
    refused(invoke(checkpoint="odd.pt"), "3.weight quantised for real")


def torch_file() -> bytes:
    return Path("make_net.pt").read_bytes()


FILES: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "is empty: copy or download it again"),
    "half": (lambda: torch_file()[: len(torch_file()) // 2], "is damaged, or no checkpoint"),
    "without its end": (lambda: torch_file()[:-10], "is damaged, or no checkpoint"),
    "without its begin": (lambda: torch_file()[10:], "is damaged, or no checkpoint"),
    "zeros": (lambda: bytes(5000), "is damaged, or no checkpoint"),
    "text": (lambda: b"epoch,loss\n1,2\n", "is damaged, or no checkpoint"),
    "JSON": (lambda: b'{"error": "Repository not found"}', "is damaged, or no checkpoint"),
    "a web page": (lambda: b"<!DOCTYPE html><html>Sign in</html>", "is a web page"),
    "a page of a store": (lambda: b'<?xml version="1.0"?><Error>AccessDenied</Error>', "is a web page"),
    "a pointer": (lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "is a pointer of Git LFS"),
    "an image": (lambda: Path("data/ant/0.png").read_bytes(), "is damaged, or no checkpoint"),
    "a pickle": (lambda: pickle.dumps({"a": 1}), "is damaged, or no checkpoint"),
    "a pickle of a function": (lambda: pickle.dumps(os.getcwd, protocol=2), "never run: "),
    "half a pickle": (lambda: pickle.dumps({"a": [1, 2]}, protocol=2)[:-4], "is damaged, or no checkpoint"),
}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_file_that_is_no_checkpoint(invoke: Invoke, kind: str, suffix: str) -> None:
    make, expected = FILES[kind]
    Path(f"odd{suffix}").write_bytes(make())
    if suffix == ".safetensors" and "never run" in expected:
        expected = "is damaged, or no checkpoint"
    refused(invoke(checkpoint=f"odd{suffix}"), expected)


def header(text: bytes, *, length: int | None = None, values: int = 16) -> bytes:
    return (len(text) if length is None else length).to_bytes(8, "little") + text + bytes(values)


SAFETENSORS = {
    "no JSON": header(b"{weights}"),
    "a header without an end": header(b"{}", length=2**40),
    "a header too short": header(b'{"a": 1}', length=3),
    "values that are not there": header(b'{"0.weight":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}', values=16),
    "values of another length": header(b'{"0.weight":{"dtype":"F32","shape":[9],"data_offsets":[0,16]}}'),
    "an unknown type": header(b'{"0.weight":{"dtype":"F33","shape":[4],"data_offsets":[0,16]}}'),
    "nothing": header(b"{}", values=0),
}


@pytest.mark.parametrize("kind", SAFETENSORS)
def test_safetensors_that_are_damaged(invoke: Invoke, kind: str) -> None:
    Path("odd.safetensors").write_bytes(SAFETENSORS[kind])
    expected = "holds no state dict" if kind == "nothing" else "is damaged, or no checkpoint"
    refused(invoke(checkpoint="odd.safetensors"), expected)


def loop(name: str) -> str:
    Path(name).symlink_to(name)
    return name


def folder_of(name: str, *entries: str) -> str:
    for entry in entries:
        write_image(Path(name, entry), 1)
    Path(name).mkdir(exist_ok=True)
    return name


def pipe(name: str) -> str:
    os.mkfifo(name)
    return name


PLACES: dict[str, tuple[str, Callable[[], str], str]] = {
    "no checkpoint": ("checkpoint", lambda: "nothing.pt", "no checkpoint at nothing.pt"),
    "a folder as checkpoint": ("checkpoint", lambda: "data", "data is a folder; name the checkpoint's file in it"),
    "a loop as checkpoint": ("checkpoint", lambda: loop("round.pt"), "no checkpoint at round.pt"),
    "a pipe as checkpoint": ("checkpoint", lambda: pipe("pipe.pt"), "no checkpoint at pipe.pt"),
    "a name too long": ("checkpoint", lambda: "x" * 300, "cannot be read: File name too long"),
    "below a file": ("checkpoint", lambda: "make_net.pt/a", "no checkpoint at make_net.pt/a"),
    "an empty name": ("checkpoint", lambda: "", "is a folder"),
    "no data": ("data", lambda: "nowhere", "nowhere is no folder"),
    "a file as data": ("data", lambda: "make_net.pt", "make_net.pt is no folder"),
    "a loop as data": ("data", lambda: loop("round"), "round is no folder"),
    "data with a name too long": ("data", lambda: "x" * 300, "File name too long"),
    "an empty folder": ("data", lambda: folder_of("void"), "void holds no folders"),
    "images beside the classes": ("data", lambda: folder_of("loose", "a.png", "ant/b.png"), "1 images outside of"),
    "one class": ("data", lambda: folder_of("few", "ant/a.png"), "few has 1 classes"),
    "a folder in a class": ("data", lambda: folder_of("deep", "ant/b/a.png"), "ant holds folders, such as b"),
    "a name of two lines": ("data", lambda: folder_of("lines", "ant/a\nb.png"), "cannot stand in a table"),
    "a class of two lines": ("data", lambda: folder_of("lines", "an\nt/a.png"), "cannot stand in a table"),
    "no class map": ("class_map", lambda: "none.txt", "none.txt cannot be read"),
    "a folder as class map": ("class_map", lambda: "data", "data cannot be read"),
    "an image as class map": ("class_map", lambda: "data/ant/0.png", "UTF-16"),
    "no such resolution": ("resolution", lambda: "0", "--resolution"),
    "a resolution below 0": ("resolution", lambda: "-32", "--resolution"),
    "no resolution": ("resolution", lambda: ",", "--resolution"),
    "a resolution beyond memory": ("resolution", lambda: "10000000", "memory was used up"),
    "a resolution below the kernel": ("resolution", lambda: "2", "does not take 2 px"),
    "no factory": ("subject", lambda: "evaluated_nets:none", "no 'none'"),
    "no module": ("subject", lambda: "nowhere:net", "no module 'nowhere'"),
    "a model without logits": ("subject", lambda: "evaluated_nets:make_features", "does not fit Conv2d"),
    "a crop of nothing": ("crop_pct", lambda: "0", "--crop-pct 0 is not above 0"),
    "a crop that is no number": ("crop_pct", lambda: "nan", "--crop-pct nan is not above 0"),
    "no interpolation": ("interpolation", lambda: "", "--interpolation '' is unknown"),
    "a folder to resume that is none": ("resume", lambda: "data", "holds no accuracy.json"),
}


@pytest.mark.parametrize("kind", PLACES)
def test_a_place_where_something_else_is(invoke: Invoke, kind: str) -> None:
    option, make, expected = PLACES[kind]
    refused(invoke(**{option: make()}), expected)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is forbidden to root")
@pytest.mark.parametrize("place", ["make_net.pt", "data", "data/ant"])
def test_what_is_forbidden(invoke: Invoke, place: str) -> None:
    mode = Path(place).stat().st_mode
    Path(place).chmod(0)
    try:
        refused(invoke(), f"{place} cannot be read: Permission denied")
    finally:
        Path(place).chmod(mode)


def png(width: int, height: int) -> bytes:
    """One that says it is that large."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")

    size = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\0\0\0"
    rows = zlib.compress(bytes(10_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def saved(pixels: Any, name: str) -> bytes:
    Image.fromarray(pixels).save(name)
    return Path(name).read_bytes()


IMAGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda _: b"", "UnidentifiedImageError"),
    "half": (lambda good: good[: len(good) // 2], "OSError"),
    "text": (lambda _: b"not an image", "UnidentifiedImageError"),
    "a web page": (lambda _: b"<!DOCTYPE html>", "UnidentifiedImageError"),
    "a bomb": (lambda _: png(60_000, 60_000), "DecompressionBombError"),
    "fewer rows than it says": (lambda _: png(1000, 1000), "OSError"),
    "no rows": (lambda _: png(0, 0), "cannot be read"),
    "a damaged header": (lambda good: good[:8] + b"\xff" * 30 + good[38:], "cannot be read"),
    "numbers of 32 bits": (lambda _: saved(np.ones((40, 40), np.int32), "a.tif"), "have no fixed white"),
    "real numbers": (lambda _: saved(np.ones((40, 40), np.float32), "a.tif"), "have no fixed white"),
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("kind", IMAGES)
def test_an_image_that_cannot_be_read_is_named_and_all_before_is_kept(invoke: Invoke, kind: str) -> None:
    make, expected = IMAGES[kind]
    image = Path("data/cat/1.png")
    image.write_bytes(make(image.read_bytes()))
    code, said, errors = invoke(batch_size="4")
    assert code == 2
    assert "Accuracy" not in said
    last = errors.splitlines()[-1]
    assert f"{image} cannot be read: " in last
    assert expected in last
    (folder,) = Path("results").iterdir()
    assert f"continue with --resume {folder}" in last
    assert len(read_predictions(folder, 32)) == 4
    assert not read_accuracy(folder).finished


def test_an_image_that_is_gone_is_named(invoke: Invoke) -> None:
    Path("data/cat/9.png").symlink_to("nowhere.png")
    refused(invoke(), "data/cat/9.png is no file, or a link to none")
