"""Loading checkpoints without running any code they may carry."""

import os
import pickle
import sys
from argparse import Namespace
from collections import OrderedDict
from pathlib import Path

import timm.models
import torch
from torch import nn

# Released checkpoints carry their training configuration beside the weights. Reading it as plain data runs no code, and
# lets torch's weights-only unpickler, which timm uses too, accept the file without yacs being installed.
torch.serialization.add_safe_globals([(OrderedDict, "yacs.config.CfgNode"), set, Namespace])


def load_weights(model: nn.Module, checkpoint_path: str | os.PathLike[str]) -> None:
    """Load a checkpoint strictly: a state dict, {"model": state dict} as released, or .safetensors.

    The file's module may map foreign keys in `checkpoint_filter_fn(state_dict, model)`, timm's convention. Raises
    FileNotFoundError where there is no file, and ValueError where it holds pickled code or another model's weights.
    """
    path = Path(checkpoint_path)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}: check the path")
    try:
        state_dict = timm.models.load_state_dict(str(path), weights_only=True)
    except (pickle.UnpicklingError, RuntimeError) as error:
        raise ValueError(
            f"{path} is not a plain PyTorch checkpoint: it is damaged or holds pickled code, which is never run. "
            "Where you trust it, load it yourself and save its tensors: torch.save({'model': state_dict}, new_path)"
        ) from error
    filter_fn = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    if filter_fn is not None:
        state_dict = filter_fn(state_dict, model)
    try:
        model.load_state_dict(state_dict, strict=True)
    except RuntimeError as error:
        raise ValueError(f"{path} does not fit this model; choose the model it was saved from. {error}") from error
