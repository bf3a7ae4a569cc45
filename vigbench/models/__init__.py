"""Models by name: vigbench's own, registered with timm on import, and every other timm model."""

import os
from typing import Any

import timm
from torch import nn

from vigbench.models import vig, vig_h, vim, vrwkv
from vigbench.models.factory import as_module, load_factory
from vigbench.models.plugins import plugins
from vigbench.models.weights import load_weights
from vigbench.nearest import nearest

__all__ = ["create_model", "vig", "vig_h", "vim", "vrwkv"]


def create_model(
    name: str,
    *,
    implementation: str = "auto",
    checkpoint_path: str | os.PathLike[str] | None = None,
    **timm_kwargs: Any,
) -> nn.Module:
    """Build a model by its timm name; `timm_kwargs` are timm's (num_classes, in_chans, drop_path_rate, ...).

    `implementation` says which code computes the model's own operator. A checkpoint is loaded strictly and never runs
    pickled code (nor does timm's own `create_model` since 1.0.26).
    ValueError for an unknown name, an implementation the model does not have, or a checkpoint that cannot be loaded.
    """
    if not timm.is_model(name):
        if (plugin := plugins().get(name)) is not None and not plugin.problem:
            if implementation != "auto" or checkpoint_path is not None:
                raise ValueError(f"{name} is a plug-in: it takes neither an implementation nor a checkpoint_path")
            return as_module(load_factory(plugin.target)(**timm_kwargs), plugin.target)
        names = timm.list_models()
        matches = [each for each in names if name in each][:3] or nearest(name, names, most=3)
        advice = f"did you mean {' or '.join(matches)}?" if matches else "see vigbench list subjects for the names"
        raise ValueError(f"unknown model {name!r}: {advice}")
    model: nn.Module = timm.create_model(name, **timm_kwargs)
    if checkpoint_path is not None:
        load_weights(model, checkpoint_path)
    set_implementation = getattr(model, "set_implementation", None)
    if set_implementation is not None:
        set_implementation(implementation)
    elif implementation != "auto":
        raise ValueError(f"{name} has no implementations to choose from: leave implementation at 'auto'")
    return model
