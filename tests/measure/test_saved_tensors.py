import gc
import weakref
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import vigbench
from vigbench.measure.memory import measure_memory
from vigbench.measure.saved_tensors import saved_for_backward

BATCH, WIDTH, HIDDEN, FLOAT = 4, 16, 32, 4


def mlp() -> tuple[nn.Module, Tensor]:
    return nn.Sequential(nn.Linear(WIDTH, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, WIDTH)), torch.randn(BATCH, WIDTH)


def test_linear_relu_linear_keeps_one_activation() -> None:
    model, inputs = mlp()
    # the ReLU's output, which the second Linear saves too; the first saves the input, both save weights: none counts
    assert saved_for_backward(lambda: model(inputs), model, inputs) == BATCH * HIDDEN * FLOAT


def test_a_loss_on_top_adds_what_it_saves() -> None:
    model, inputs = mlp()
    saved = saved_for_backward(lambda: model(inputs).square().mean(), model, inputs)
    assert saved == BATCH * (HIDDEN + WIDTH) * FLOAT


def test_views_of_one_storage_count_once() -> None:
    inputs = torch.randn(BATCH, WIDTH, requires_grad=True)

    def forward() -> Tensor:
        wide = inputs.exp()  # saves its result
        return wide[:, :8] * wide[:, 8:]  # saves two views of it

    assert saved_for_backward(forward, nn.Identity(), inputs) == BATCH * WIDTH * FLOAT


def test_a_view_keeps_its_whole_storage() -> None:
    inputs = torch.randn(BATCH, WIDTH, requires_grad=True)
    saved = saved_for_backward(lambda: (inputs + 1)[:, :1].square(), nn.Identity(), inputs)
    assert saved == BATCH * WIDTH * FLOAT


class _Keeps(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x.exp(), x.new_zeros(7))
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return grads[0] * ctx.saved_tensors[0]


def test_what_a_custom_function_saves_counts() -> None:
    model, inputs = mlp()
    plain = saved_for_backward(lambda: model(inputs), model, inputs)
    custom = saved_for_backward(lambda: _Keeps.apply(model(inputs)), model, inputs)
    assert custom - plain == (BATCH * WIDTH + 7) * FLOAT


def test_what_is_gone_before_the_end_of_the_forward_pass_does_not_count() -> None:
    model, inputs = mlp()

    def forward() -> Any:
        model(inputs).exp()  # nobody keeps this branch
        return model(inputs)

    assert saved_for_backward(forward, model, inputs) == BATCH * HIDDEN * FLOAT


def test_buffers_and_weights_in_use_do_not_count() -> None:
    model, inputs = nn.Sequential(nn.BatchNorm1d(WIDTH), nn.ReLU()), torch.randn(BATCH, WIDTH)
    # batch norm: mean and inverse deviation (its input and running statistics are known); the ReLU's output
    assert saved_for_backward(lambda: model(inputs), model, inputs) == (2 * WIDTH + BATCH * WIDTH) * FLOAT


def test_nothing_is_kept_where_nothing_trains() -> None:
    model, inputs = mlp()
    model.requires_grad_(False)
    assert saved_for_backward(lambda: model(inputs), model, inputs) == 0


def test_gradients_are_on_inside_and_as_before_outside() -> None:
    model, inputs = mlp()
    with torch.no_grad():
        assert saved_for_backward(lambda: model(inputs), model, inputs) == BATCH * HIDDEN * FLOAT
        assert not torch.is_grad_enabled()


def test_counting_leaves_nothing_behind() -> None:
    class Rider:
        """Lives as long as the node of the graph that it rides on."""

    model, inputs = mlp()
    riders: list[weakref.ref[Rider]] = []

    def forward() -> Tensor:
        output: Tensor = model(inputs).exp()  # exp saves its own output: the case that can leak
        rider = Rider()
        node: Any = output.grad_fn  # whose metadata torch annotates as a method
        node.metadata["rider"] = rider
        riders.append(weakref.ref(rider))
        return output

    gc.disable()
    try:
        saved_for_backward(forward, model, inputs)
        assert riders[0]() is None
    finally:
        gc.enable()


def test_the_backward_pass_still_works_afterwards() -> None:
    model, inputs = mlp()
    saved_for_backward(lambda: model(inputs), model, inputs)
    model(inputs).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("name", "options"), [("vig_tiny_patch16_224", {"implementation": "torch_chunk"}), ("deit_tiny_patch16_224", {})]
)
def test_a_model_saves_less_than_a_training_step_peaks_at(name: str, options: dict[str, str]) -> None:
    model = vigbench.create_model(name, **options).train()
    inputs = torch.randn(1, 3, 224, 224)

    def loss() -> Tensor:
        output: Tensor = model(inputs)
        return output.square().mean()

    saved = saved_for_backward(loss, model, inputs)
    peak = measure_memory(lambda: loss().backward(), model, inputs)
    assert 0.2 * peak.activations < saved < peak.activations
