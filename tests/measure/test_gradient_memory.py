from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vigbench.measure.gradient_memory import measure_gradients, stored_at_peak
from vigbench.measure.memory import MIB, measure_memory

WIDE = 1024  # a layer of 4 MiB


class _AllocatesInBackward(torch.autograd.Function):
    """The identity; its backward pass holds a buffer for a moment."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mib: int) -> Tensor:
        ctx.mib = mib
        return x.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return grad + torch.zeros(ctx.mib * MIB // 4).sum(), None


class Known(nn.Module):
    """Layers of 4 MiB each; going back, `mib` MiB are needed for a moment when `after` layers have their gradients."""

    def __init__(self, layers: int, after: int, mib: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(WIDE, WIDE, bias=False) for _ in range(layers)])
        self.before, self.mib = layers - after, mib

    def forward(self, x: Tensor) -> Tensor:
        for number, layer in enumerate(self.layers):
            x = _AllocatesInBackward.apply(x, self.mib) if number == self.before else x
            x = layer(x)
        return x


@pytest.mark.parametrize("after", [1, 2, 3])
def test_the_peak_is_weights_inputs_state_gradients_and_activations(after: int) -> None:
    model, inputs = Known(layers=4, after=after, mib=48), torch.randn(1, WIDE)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-8, fused=True)

    def step() -> None:
        model.zero_grad(set_to_none=True)
        model(inputs).square().mean().backward()
        optimizer.step()

    step()
    kept = [value for state in optimizer.state.values() for value in state.values()]
    memory = measure_memory(step, model, inputs, kept)
    gradients = measure_gradients(step, model, inputs.device)
    assert memory.weights == gradients.total == 4 * 4 * MIB
    assert memory.kept == 2 * memory.weights + 4 * 4, "two moments, and a counter of 4 bytes for each parameter"
    assert gradients.at_peak == after * 4 * MIB
    activations = memory.activations - gradients.at_peak
    assert 48 * MIB <= activations < 48 * MIB + 64 * 2**10, "the buffer, and vectors of 4 KiB"
    assert memory.peak == memory.weights + memory.inputs + memory.kept + gradients.at_peak + activations
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_gradient_on_its_way_is_not_stored_yet() -> None:
    model, inputs = Known(layers=2, after=0, mib=0), torch.randn(1, WIDE)

    def train() -> None:
        model.zero_grad(set_to_none=True)
        model(inputs).square().mean().backward()

    gradients = measure_gradients(train, model, inputs.device)
    assert (gradients.total, gradients.at_peak) == (8 * MIB, 4 * MIB)


def test_what_is_frozen_has_no_gradient() -> None:
    model, inputs = Known(layers=2, after=1, mib=16), torch.randn(1, WIDE)
    model.layers[1].requires_grad_(False)
    gradients = measure_gradients(lambda: model(inputs).sum().backward(), model, inputs.device)
    assert gradients.total == 4 * MIB


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ([(0, 30), (4, 30), (8, 30)], 0),  # before the first gradient
        ([(0, 10), (4, 30), (8, 30)], 4),  # between two
        ([(0, 10), (4, 30), (8, 40)], 8),  # in the optimiser's step
        ([(0, 10)], 0),  # nothing trains
    ],
)
def test_the_peak_lies_where_it_was_first_seen(seen: list[tuple[int, int]], expected: int) -> None:
    assert stored_at_peak(seen) == expected


class FakeCuda:
    """torch.cuda's counters over a made-up iteration."""

    def __init__(self) -> None:
        self.peak = 100

    def install(self, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(torch.cuda, "synchronize", lambda: None)
        patch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: setattr(self, "peak", 0))
        patch.setattr(torch.cuda, "max_memory_allocated", lambda: self.peak)


def test_on_cuda_the_allocator_s_own_peak_tells_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = FakeCuda()
    cuda.install(monkeypatch)
    model, inputs = nn.Sequential(nn.Linear(8, 8, bias=False), nn.Linear(8, 4, bias=False)), torch.randn(1, 8)

    def higher(grad: Tensor) -> None:
        cuda.peak = 50

    def train() -> None:
        cuda.peak = max(cuda.peak, 20)
        middle = model[0](inputs)
        middle.register_hook(higher)  # after the second layer's gradient, before the first's
        model[1](middle).sum().backward()

    gradients = measure_gradients(train, model, torch.device("cuda", 0))
    assert (gradients.total, gradients.at_peak) == (4 * (64 + 32), 4 * 32)
