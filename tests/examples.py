"""What a model is called with, whatever it takes: images, or what its task makes of a size."""

from typing import Any

import torch
from torch import nn

from vigbench.subjects.catalog import IMAGES, task_of
from vigbench.suites.case import Case

USUAL_PX = 256  # of models of latents


def example_of(name: str, model: nn.Module) -> tuple[Any, ...]:
    """One item of the size that a model of timm's is built for, as positional arguments."""
    task = task_of(name)
    if task is IMAGES:
        return (torch.randn(1, *model.pretrained_cfg["input_size"]),)  # type: ignore[index, misc]
    resolution = USUAL_PX if task.dimensions == 2 else task.usual_resolution
    return task.arguments(task.make_inputs(Case(subject=name, resolution=resolution)))[0]
