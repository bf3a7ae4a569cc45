"""Checkpoints are read without running code, and fit or are refused."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from tests.evaluation.pictures import (
    CLASSES,
    prepare,
    save_model,
    settings,
)
from vigbench.evaluation.checkpoint import load_checkpoint, read_checkpoint
from vigbench.evaluation.model import build_for_evaluation
from vigbench.subjects.catalog import create_model
from vigbench.suites.case import Case


def test_released_keys_of_vision_rwkv_are_mapped(tmp_path: Path) -> None:
    model = create_model("vrwkv_tiny_patch16_224", num_classes=len(CLASSES))
    state = {
        name.replace("head.", "head.fc.") if name.startswith("head.") else f"backbone.{name}": weight
        for name, weight in model.state_dict().items()
    }
    torch.save({"state_dict": state, "meta": {"epoch": 1}}, tmp_path / "released.pth")
    case = Case(subject="vrwkv_tiny_patch16_224", implementation="auto", resolution=64)
    loaded = build_for_evaluation(case, read_checkpoint(tmp_path / "released.pth"))
    for name, weight in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], weight)


def test_the_moving_average_is_preferred_unless_the_plain_weights_are_asked_for(tmp_path: Path) -> None:
    plain, average = {"weight": torch.zeros(2)}, {"weight": torch.ones(2)}
    torch.save({"model": plain, "model_ema": average, "epoch": 3}, tmp_path / "both.pt")
    both, only = read_checkpoint(tmp_path / "both.pt"), read_checkpoint(tmp_path / "both.pt", ema=False)
    assert (both.weights, both.state["weight"].sum()) == ("model_ema", 2)
    assert (only.weights, only.state["weight"].sum()) == ("model", 0)


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.module."])
def test_safetensors_and_wrapped_models_load(tmp_path: Path, prefix: str) -> None:
    state = {f"{prefix}{name}": weight for name, weight in timm.create_model("test_resnet").state_dict().items()}
    save_file(state, tmp_path / "one.safetensors")
    read = read_checkpoint(tmp_path / "one.safetensors")
    model = timm.create_model("test_resnet")
    load_checkpoint(model, read)
    assert all(torch.equal(weight, state[f"{prefix}{name}"]) for name, weight in model.state_dict().items())


def test_a_checkpoint_of_another_model_is_named_with_what_differs(tmp_path: Path, data: Path) -> None:
    path = save_model(tmp_path / "resnet.pt", "test_resnet")
    expected = r"resnet.pt does not fit VisionTransformer: \d+ weights are missing \(cls_token, .*, \.\.\.\), .*unknown"
    with pytest.raises(ValueError, match=expected) as refused:
        prepare(settings(), path, data)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize("content", [{}, {"model": {}}, {"epoch": 1}, torch.zeros(3), {"model": {"weight": "none"}}])
def test_a_file_without_weights_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "odd.pt")
    with pytest.raises(ValueError, match="holds no state dict"):
        read_checkpoint(tmp_path / "odd.pt")


class Dangerous:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, ("executed",)


def test_pickled_code_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"model": Dangerous()}, tmp_path / "odd.pt")
    with pytest.raises(ValueError, match="never run"):
        read_checkpoint(tmp_path / "odd.pt")
    assert not Path("executed").exists()
