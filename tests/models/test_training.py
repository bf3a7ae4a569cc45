import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.models.conftest import small
from vigbench.subjects.catalog import create_model

PLAIN = {"name": "vig_tiny_patch16_224", "depth": 2, "embed_dim": 64, "num_heads": 2}
HIERARCHICAL = {"name": "vig_h_tiny_patch4_224", "depths": (1, 1, 1, 1), "embed_dim": 32}
both = pytest.mark.parametrize("settings", [PLAIN, HIERARCHICAL], ids=["vig", "vig_h"])


def train(model: nn.Module, images: Tensor, labels: Tensor, steps: int, batch: int, rate: float) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    for _ in range(steps):
        chosen = torch.randperm(len(images))[:batch]
        optimizer.zero_grad()
        F.cross_entropy(model(images[chosen]), labels[chosen]).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()


@pytest.mark.parametrize("checkpointing", [False, True])
def test_every_parameter_gets_a_gradient(each: str, checkpointing: bool) -> None:
    torch.manual_seed(0)
    model = small(each)
    model.set_grad_checkpointing(checkpointing)
    nn.init.normal_(model.get_classifier().weight)
    F.cross_entropy(model(torch.randn(2, 3, 64, 96)), torch.tensor([1, 4])).backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert torch.isfinite(parameter.grad).all(), key
        assert parameter.grad.abs().max() > 0, key


def test_checkpointing_does_not_change_gradients(each: str) -> None:
    torch.manual_seed(0)
    model = small(each).double()
    images = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    gradients = []
    for enable in (False, True):
        model.set_grad_checkpointing(enable)
        gradients.append(torch.autograd.grad(model(images).square().sum(), list(model.parameters())))
    for x, y in zip(*gradients, strict=True):
        torch.testing.assert_close(x, y)


@both
def test_gradients_do_not_depend_on_the_implementation(settings: dict[str, object]) -> None:
    torch.manual_seed(0)
    model = create_model(**settings, num_classes=5).double()
    images = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    gradients = []
    for implementation in ("reference", "torch_chunk"):
        model.set_implementation(implementation)
        gradients.append(torch.autograd.grad(model(images).square().sum(), list(model.parameters())))
    for x, y in zip(*gradients, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-9, atol=1e-12)


@both
def test_overfits_a_batch(settings: dict[str, object]) -> None:
    torch.manual_seed(0)
    model = create_model(**settings, num_classes=4)
    images, labels = torch.randn(8, 3, 64, 64), torch.arange(8) % 4
    train(model, images, labels, steps=30, batch=8, rate=3e-3)
    assert F.cross_entropy(model(images), labels) < 0.1


@pytest.mark.slow
def test_learns_to_read_digits() -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    torch.manual_seed(0)
    digits = datasets.load_digits()
    images = torch.from_numpy(digits.images).float()[:, None] / 8 - 1
    images = F.interpolate(images, (64, 64), mode="bilinear").expand(-1, 3, -1, -1)
    labels = torch.from_numpy(digits.target).long()
    order = torch.randperm(len(labels))
    tested, trained = order[:400], order[400:]
    model = create_model(**PLAIN, num_classes=10)
    train(model, images[trained], labels[trained], steps=600, batch=64, rate=2e-3)
    with torch.inference_mode():
        accuracy = (model.eval()(images[tested]).argmax(1) == labels[tested]).float().mean().item()
    assert accuracy >= 0.95
