"""What a task makes of all that a model may return, and what it trains on."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from vigbench.ops.registry import UnsupportedError
from vigbench.subjects.image import ImageTask

TASK = ImageTask()
ONE, TWO = torch.zeros(2), torch.ones(2)


class Both(NamedTuple):
    logits: Tensor
    features: Tensor


@dataclass
class Answer:
    logits: Tensor


@pytest.mark.parametrize(
    ("returned", "names"),
    [
        (ONE, ["output"]),
        (OrderedDict(logits=ONE, features=TWO), ["logits", "features"]),
        (Both(ONE, TWO), ["logits", "features"]),
        ([ONE, torch.arange(2)], ["output 1", "output 2"]),
        (Answer(ONE), ["logits"]),
        ((ONE, None, 3), ["output 1"]),
        ((ONE, (TWO, [TWO])), ["output 1", "output 2.1", "output 2.2.1"]),
        (
            {"logits": ONE, "cache": None, "hidden": {"first": [ONE, TWO]}},
            ["logits", "hidden.first.1", "hidden.first.2"],
        ),
        (Answer(Both(ONE, TWO)), ["logits.logits", "logits.features"]),
    ],
)
def test_tensors_are_found(returned: Any, names: list[str]) -> None:
    assert list(TASK.outputs(returned)) == names


@pytest.mark.parametrize(
    ("returned", "kind"),
    [
        (Answer(3), "Answer"),
        (((), "text"), r"tuple \(tuple, str\)"),
        ({}, "dict"),
        (None, "NoneType"),
    ],
)
def test_what_holds_no_tensor_is_unsupported_and_named(returned: Any, kind: str) -> None:
    with pytest.raises(UnsupportedError, match=f"The model returns {kind}, and no tensor in it"):
        TASK.outputs(returned)


def test_the_loss_is_of_what_has_a_gradient() -> None:
    scores = torch.tensor([1.0, 3.0], requires_grad=True)
    labels, nothing = torch.tensor([30_000]), torch.zeros(0, 4)
    assert TASK.loss((scores, labels, nothing, scores > 0), {}) == 5.0
    with pytest.raises(UnsupportedError, match="measure --phase inference"):
        TASK.loss((labels, nothing), {})
