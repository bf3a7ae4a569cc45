"""A checkpoint: read without running code, and loaded strictly into the model of a resolution."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from timm.models import clean_state_dict
from torch import Tensor, nn

import vigbench.models.weights  # noqa: F401  what released checkpoints hold beside tensors is read as plain data

AVERAGED = ("state_dict_ema", "model_ema")  # timm's names for a moving average of the weights
PLAIN = ("state_dict", "model")
_SHOWN = 2


@dataclass(frozen=True)
class Checkpoint:
    """Weights of a file.

    Attributes:
        file: its name.
        sha256: of its content.
        weights: which of its entries they are, such as `model_ema`; empty where the file is nothing else.
        state: name -> tensor, on the CPU.
    """

    file: str
    sha256: str
    weights: str
    state: Mapping[str, Tensor]


def read_checkpoint(path: Path, *, ema: bool = True) -> Checkpoint:
    """Read .safetensors or a file of torch.save: a state dict, or one beside a training's other state.

    Args:
        path: the file.
        ema: prefer the moving average of the weights where the file has one, as timm does.

    Raises:
        ValueError: if there is no file, it is damaged, holds pickled code, or no state dict.
    """
    if not path.is_file():
        raise ValueError(f"There is no checkpoint at {path}: check the path.")
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    try:
        content: Any = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except Exception as error:  # whatever a damaged file makes of its reader
        raise ValueError(
            f"{path} is no plain PyTorch checkpoint and no .safetensors: it is damaged or holds pickled code, which is "
            "never run. Where you trust it, load it yourself and save its tensors: torch.save({'model': state_dict}, "
            "new_path)."
        ) from error
    content = content if isinstance(content, Mapping) else {}
    preferred = (*AVERAGED, *PLAIN) if ema else PLAIN
    weights = next((key for key in preferred if isinstance(content.get(key), Mapping)), "")
    state = content[weights] if weights else content
    if not state or not all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in state.items()):
        raise ValueError(
            f"{path} holds no state dict, a name and a tensor for each weight; save it with torch.save({{'model': "
            "model.state_dict()}, path)."
        )
    # twice: timm 1.0.26 takes prefixes of compiled and of parallel models off in one order only
    return Checkpoint(path.name, sha256, weights, clean_state_dict(clean_state_dict(dict(state))))


def load_checkpoint(model: nn.Module, checkpoint: Checkpoint) -> None:
    """Load the weights strictly, position embeddings resized to the model's grid by its `checkpoint_filter_fn`.

    Where the checkpoint's head has another number of classes than the model's, the model gets a head of that size.

    Raises:
        ValueError: if they are another model's; the message says which names or shapes differ.
    """
    adapt = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    try:
        state = dict(checkpoint.state) if adapt is None else adapt(dict(checkpoint.state), model)
    except Exception as error:  # it expects another model's names or shapes
        raise _misfit(checkpoint, model, _differences(checkpoint.state, model)) from error
    classes = _head_outputs(model, state)
    if classes is not None and classes != model.num_classes:
        model.reset_classifier(classes)  # type: ignore[operator]
    if found := _differences(state, model):
        raise _misfit(checkpoint, model, found)
    model.load_state_dict(state, strict=True)


def _head_outputs(model: nn.Module, state: Mapping[str, Tensor]) -> int | None:
    """Classes of the head in a state dict; None where the model does not say which of its layers that is."""
    config = getattr(model, "pretrained_cfg", None) or {}
    classifier = config.get("classifier") if isinstance(config, Mapping) else None
    name = classifier if isinstance(classifier, str) else next(iter(classifier or ()), "")
    weight = state.get(f"{name}.weight")
    changeable = hasattr(model, "reset_classifier") and hasattr(model, "num_classes")
    return weight.shape[0] if changeable and weight is not None and weight.ndim else None


def _misfit(checkpoint: Checkpoint, model: nn.Module, found: str) -> ValueError:
    return ValueError(
        f"{checkpoint.file} does not fit {type(model).__name__}: {found or 'its names are unknown'}. Name the subject "
        "that it was saved from."
    )


def _differences(state: Mapping[str, Tensor], model: nn.Module) -> str:
    """Where a state dict does not fit; empty where it does."""
    wanted = model.state_dict()
    missing = [name for name in wanted if name not in state]
    unknown = [name for name in state if name not in wanted]
    other = [
        f"{name} {tuple(state[name].shape)} for {tuple(tensor.shape)}"
        for name, tensor in wanted.items()
        if name in state and isinstance(tensor, Tensor) and state[name].shape != tensor.shape
    ]
    parts = {"weights are missing": missing, "weights are unknown": unknown, "have another shape": other}
    return ", ".join(f"{len(names)} {what} ({_some(names)})" for what, names in parts.items() if names)


def _some(names: Sequence[str]) -> str:
    return ", ".join([*names[:_SHOWN], *(["..."] if len(names) > _SHOWN else [])])
