import pickle
import sys
from argparse import Namespace
from pathlib import Path
from types import ModuleType

import pytest
import safetensors.torch
import timm
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from vigbench.subjects.catalog import create_model

TINY = {"depth": 1, "embed_dim": 32, "num_heads": 1, "num_classes": 3}
NAME = "vig_tiny_patch16_224"
IMAGE = torch.linspace(-1, 1, 3 * 48 * 48).view(1, 3, 48, 48).cos()


class Payload:
    """A pickle that would create a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


def operators_run(model: nn.Module) -> set[str]:
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        model(IMAGE)
    return {event.key.removeprefix("vigbench::gla_") for event in profiled.key_averages() if "::gla_" in event.key}


@pytest.mark.parametrize("training", [False, True])
def test_the_chosen_implementation_runs(training: bool) -> None:
    model = create_model(NAME, implementation="reference", **TINY).train(training)
    assert operators_run(model) == {"reference"}
    model.set_implementation("torch_chunk")
    assert operators_run(model) == {"torch_chunk"}
    assert model.implementation == "torch_chunk"
    model.set_implementation("auto")
    assert operators_run(model) == {"torch_chunk"}


def test_implementations_agree() -> None:
    model = create_model(NAME, **TINY).eval()
    expected = model(IMAGE)
    model.set_implementation("reference")
    torch.testing.assert_close(model(IMAGE), expected)


def test_unknown_names_get_help() -> None:
    with pytest.raises(ValueError, match="unknown model 'vig_tiny': did you mean vig_tiny_patch16_224") as error:
        create_model("vig_tiny")
    assert error.value.__cause__ is None
    with pytest.raises(ValueError, match=r"did you mean vig_base_patch16_224 or .*\?"):
        create_model("vig_base_patch16_24")
    with pytest.raises(ValueError, match="for the names"):
        create_model("qqqqqqqqqqqq")
    with pytest.raises(ValueError, match="unknown implementation of gla 'torch_chunks'; did you mean 'torch_chunk'"):
        create_model(NAME, implementation="torch_chunks", **TINY)


def test_other_timm_models() -> None:
    with torch.device("meta"):
        assert create_model("deit_tiny_patch16_224", num_classes=5).num_classes == 5
        with pytest.raises(ValueError, match="resnet18 has no implementations"):
            create_model("resnet18", implementation="torch_chunk")


def test_a_training_configuration_beside_the_weights_is_read_as_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class CfgNode(dict[str, object]):
        """As yacs pickles it: a dict with attributes, one of them a set."""

        def __init__(self, content: dict[str, object]) -> None:
            super().__init__(content)
            self.__dict__["__deprecated_keys__"] = set()

    module = ModuleType("yacs.config")
    CfgNode.__module__, CfgNode.__qualname__ = module.__name__, "CfgNode"
    module.CfgNode = CfgNode  # type: ignore[attr-defined]
    trained = timm.create_model(NAME, **TINY).eval()
    path = tmp_path / "released.pth"
    with monkeypatch.context() as with_yacs:
        with_yacs.setitem(sys.modules, "yacs", ModuleType("yacs"))
        with_yacs.setitem(sys.modules, "yacs.config", module)
        config = CfgNode({"TRAIN": CfgNode({"EPOCHS": 300, "BETAS": (0.9, 0.999)})})
        torch.save({"model": trained.state_dict(), "config": config, "args": Namespace(lr=0.1), "epoch": 299}, path)
    for create in (create_model, timm.create_model):
        assert torch.equal(create(NAME, checkpoint_path=str(path), **TINY).eval()(IMAGE), trained(IMAGE))


@pytest.mark.parametrize("layout", ["released", "plain", "safetensors"])
def test_checkpoints_load_strictly(layout: str, tmp_path: Path) -> None:
    trained = timm.create_model(NAME, **TINY).eval()
    path = tmp_path / f"weights.{'safetensors' if layout == 'safetensors' else 'pth'}"
    if layout == "safetensors":
        safetensors.torch.save_file(trained.state_dict(), path)
    else:
        torch.save({"model": trained.state_dict(), "epoch": 3} if layout == "released" else trained.state_dict(), path)
    for create in (create_model, timm.create_model):
        assert torch.equal(create(NAME, checkpoint_path=str(path), **TINY).eval()(IMAGE), trained(IMAGE))


def test_checkpoint_of_another_model(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(create_model(NAME, **{**TINY, "depth": 2}).state_dict(), path)
    with pytest.raises(ValueError, match=r"(?s)does not fit this model.*blocks\.1"):
        create_model(NAME, checkpoint_path=path, **TINY)


def test_missing_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        create_model(NAME, checkpoint_path=tmp_path / "none.pth", **TINY)


@pytest.mark.parametrize("legacy", [False, True])
def test_pickled_code_is_refused_and_never_run(legacy: bool, tmp_path: Path) -> None:
    path, trace = tmp_path / "weights.pth", tmp_path / "executed"
    checkpoint = {"model": create_model(NAME, **TINY).state_dict(), "config": Payload(trace)}
    if legacy:
        path.write_bytes(pickle.dumps(checkpoint["config"], protocol=2))
    else:
        torch.save(checkpoint, path)
    with pytest.raises(ValueError, match=r"holds pickled code, which is never run.*torch\.save"):
        create_model(NAME, checkpoint_path=path, **TINY)
    with pytest.raises(RuntimeError):
        timm.create_model(NAME, checkpoint_path=path, **TINY)
    assert not trace.exists()
