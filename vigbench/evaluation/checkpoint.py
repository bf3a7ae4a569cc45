"""A checkpoint, and its weights in the model of a resolution."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from vigbench.models.checkpoints.checkpoint_file import read_file
from vigbench.models.checkpoints.strict_loading import State, left_out, load_strictly
from vigbench.models.checkpoints.weights import find_weights


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
    state: State


def read_checkpoint(path: Path, *, ema: bool = True) -> Checkpoint:
    """Read .safetensors or a file of torch.save: a state dict, or one beside a training's other state.

    Args:
        path: the file.
        ema: prefer the moving average of the weights where the file has one, as timm does.

    Raises:
        ValueError: if there is no file, it is damaged, holds pickled code, or no state dict.
    """
    try:
        content = read_file(path)
    except FileNotFoundError as error:
        raise ValueError(f"There is no checkpoint at {path}: check the path.") from error
    weights, state = find_weights(path, content, ema=ema)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Checkpoint(path.name, sha256, weights, state)


def load_checkpoint(model: nn.Module, checkpoint: Checkpoint) -> None:
    """Load the weights strictly, position embeddings resized to the model's grid by its `checkpoint_filter_fn`.

    Where the checkpoint's head has another number of classes than the model's, the model gets a head of that size.

    Raises:
        ValueError: if they are another model's; the message says which names or shapes differ.
    """
    try:
        load_strictly(model, checkpoint.state, any_classes=True)
    except ValueError as error:
        raise ValueError(
            f"{checkpoint.file} does not fit {type(model).__name__}: {error}. Name the subject that it was saved from."
        ) from error


def note_on_weights(model: nn.Module, checkpoint: Checkpoint) -> str:
    """That a checkpoint holds more than the model's weights; empty where it does not."""
    names = left_out(model, checkpoint.state)
    return f"{len(names)} of the checkpoint's tensors are not the model's, such as {names[0]}" if names else ""
