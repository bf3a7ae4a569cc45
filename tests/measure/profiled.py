"""Profiles of small models, for tests."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vigbench.measure.profile.capture import Profile, ProfiledSubject, profile_subject

CPU = torch.device("cpu")


def subject_of(model: nn.Module, inputs: Tensor, *, train: bool = False) -> ProfiledSubject:
    """One forward pass, or with `train` a backward pass from the sum of the output's squares too."""

    def infer() -> Any:
        with torch.inference_mode():
            return model(inputs)

    def step() -> None:
        model.zero_grad(set_to_none=True)
        model(inputs).square().sum().backward()

    return ProfiledSubject(step if train else infer, model, lambda: None, CPU)


def profile_of(folder: Path, model: nn.Module, inputs: Tensor, *, train: bool = False, iterations: int = 2) -> Profile:
    """The model's profile, its trace in `folder`."""
    subject = subject_of(model, inputs, train=train)
    subject.call()
    return profile_subject(subject, iterations, folder / "trace.json.gz")
