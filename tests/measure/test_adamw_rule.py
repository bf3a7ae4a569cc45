"""A step that is not AdamW's is told apart from one that is."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.optim import AdamW

from vigbench.measure.adamw_rule import broken_step, snapshot

Spoil = Callable[[AdamW, nn.Module], None]


def after_a_step(dtype: torch.dtype, spoil: Spoil, steps: int = 3, **settings: bool) -> str | None:
    """What is wrong with the last of some steps, after `spoil` has had its hands on it."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 32), nn.GELU(), nn.Linear(32, 8)).to(dtype)
    inputs = torch.randn(16, 64, dtype=dtype)
    optimizer = AdamW(model.parameters(), lr=1e-8, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.05, **settings)
    for step in range(steps):
        model.zero_grad(set_to_none=True)
        model(inputs + step).float().square().mean().backward()
        before = snapshot(optimizer)
        optimizer.step()
    spoil(optimizer, model)
    return broken_step(optimizer, before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("settings", [{"fused": True}, {"foreach": True}, {"foreach": False}], ids=str)
@pytest.mark.parametrize("steps", [1, 3])
def test_every_form_of_adamw_keeps_the_rule(dtype: torch.dtype, settings: dict[str, bool], steps: int) -> None:
    assert after_a_step(dtype, lambda *_: None, steps, **settings) is None


def _again(optimizer: AdamW, model: nn.Module) -> None:
    optimizer.step()


def _other_gradients(optimizer: AdamW, model: nn.Module) -> None:
    for parameter in model.parameters():
        assert parameter.grad is not None
        parameter.grad *= 1.1


def _no_moment(optimizer: AdamW, model: nn.Module) -> None:
    optimizer.state[model[2].weight]["exp_avg"].zero_()  # type: ignore[index]


def _no_square(optimizer: AdamW, model: nn.Module) -> None:
    optimizer.state[model[0].bias]["exp_avg_sq"].zero_()  # type: ignore[index]


def _no_gradients(optimizer: AdamW, model: nn.Module) -> None:
    model.zero_grad(set_to_none=True)


def _not_a_number(optimizer: AdamW, model: nn.Module) -> None:
    optimizer.state[model[2].weight]["exp_avg"][0, 0] = torch.nan  # type: ignore[index]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_again, "parameter 0 has seen 2 steps instead of one"),
        (_other_gradients, "the first moment of parameter 0 is off"),
        (_no_moment, "the first moment of parameter 2 is off by 1.0e"),
        (_no_square, "the second moment of parameter 1 is off by 1.0e"),
        (_not_a_number, "the first moment of parameter 2 is off by nan"),
        (_no_gradients, "no parameter has a gradient"),
    ],
)
def test_what_is_not_adamw_is_named(dtype: torch.dtype, spoil: Spoil, said: str) -> None:
    assert said in str(after_a_step(dtype, spoil, fused=True))


@pytest.mark.parametrize("share", [0.0, 2.0, -1.0])
def test_weights_that_move_by_something_else_are_found(share: float) -> None:
    """The step is 1e-8: a share of it instead of the whole."""

    def move(optimizer: AdamW, model: nn.Module) -> None:
        weight = model[0].weight
        state = optimizer.state[weight]
        with torch.no_grad():
            first, second = state["exp_avg"] / (1 - 0.9**3), state["exp_avg_sq"] / (1 - 0.999**3)
            weight += (1 - share) * 1e-8 * first / (second.sqrt() + 1e-8)

    assert "the change of parameter 0 is off by" in str(after_a_step(torch.float32, move, fused=True))
