"""A compiled or captured call is compared with the plain model."""

from typing import Any

import pytest
import torch
from torch import nn

from vigbench.subjects.catalog import IMAGES
from vigbench.suites.case import Case
from vigbench.worker.build import build_on_device, iteration
from vigbench.worker.check_call import check_call, run_plain
from vigbench.worker.check_subject import WrongResultError


def compiled(phase: str, **settings: Any) -> Case:
    return Case(subject="resnet18", resolution=32, batch_size=2, compile=True, phase=phase, threads=1, **settings)


@pytest.mark.parametrize("phase", ["inference", "training"])
def test_a_call_that_computes_something_else_is_wrong(phase: str) -> None:
    case = compiled(phase)
    model, inputs = build_on_device(case), IMAGES.make_inputs(case)
    plain = run_plain(model, case, IMAGES, inputs)
    assert not plain.random
    right, _ = iteration(model, case.model_copy(update={"compile": False}), IMAGES, inputs)
    check_call(right, plain, model, case, IMAGES, inputs)
    wrong, _ = iteration(model, case.model_copy(update={"compile": False}), IMAGES, {"image": inputs["image"] + 0.1})
    with pytest.raises(WrongResultError, match="compiled model differs"):
        check_call(wrong, plain, model, case, IMAGES, inputs)


def test_a_model_that_is_random_in_training_is_not_called_wrong() -> None:
    case = compiled("training")
    model, inputs = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 8), nn.Dropout(0.5)), IMAGES.make_inputs(case)
    plain = run_plain(model, case, IMAGES, inputs)
    assert plain.random
    call, _ = iteration(model, case.model_copy(update={"compile": False}), IMAGES, inputs)
    check_call(call, plain, model, case, IMAGES, inputs)
    model.eval()
    assert not run_plain(model, case, IMAGES, inputs).random


class RarelyRandom(nn.Module):
    """Draws on each call, and lets it show once in a million."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3 * 32 * 32, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x.flatten(1)) + (torch.rand(1) < 1e-6)


@pytest.mark.parametrize("phase", ["inference", "training"])
def test_what_draws_is_random_even_where_two_runs_agree(phase: str) -> None:
    case = compiled(phase)
    assert run_plain(RarelyRandom(), case, IMAGES, IMAGES.make_inputs(case)).random


def test_what_a_graph_overwrites_is_not_what_it_is_compared_with() -> None:
    case = compiled("inference")
    model, inputs = build_on_device(case), IMAGES.make_inputs(case)
    plain = run_plain(model, case, IMAGES, inputs)
    before = torch.clone(plain.outputs["output"])
    model(inputs["image"] + 1)
    assert torch.equal(plain.outputs["output"], before)
