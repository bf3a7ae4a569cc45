"""Models that can be measured in part, or not at all, each for one reason."""

import torch
from torch import Tensor, nn


class Small(nn.Module):
    """A stem and a head."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(channels, 16, 3, stride=4), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stem(x).relu().mean((2, 3)))


class TwoInputs(Small):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return super().forward(x) - super().forward(y)


def grey() -> nn.Module:
    return Small(1)


class Lazy(Small):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.LazyConv2d(16, 3, stride=4)


def on_meta() -> nn.Module:
    with torch.device("meta"):
        return Small()


class MetaConstant(Small):
    def __init__(self) -> None:
        super().__init__()
        self.tables = {"mean": [torch.ones(3, device="meta")]}


class OneSize(Small):
    """Takes 32 px only, and its factory does not know that."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + torch.ones(32, 32))


class NoSize(Small):
    def forward(self, x: Tensor) -> Tensor:
        return self.head(x)


class Asserts(Small):
    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[-1] == 12345
        return super().forward(x)


class Mistaken(Small):
    def forward(self, x: Tensor) -> Tensor:
        return self.there_is_none(x)


class ChangesInput(Small):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.sub_(0.45).div_(0.22))


class ChangesInputInTraining(Small):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.data.mul_(1.01) if self.training else x)


class FrozenStem(Small):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            x = self.stem(x).relu()
        return self.head(x.mean((2, 3)))


class IntegerStem(nn.Module):
    """Looks its pixels up in a table."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(256, 8), nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.table((x * 32).long().clamp(0, 255)).mean((1, 2, 3)))


class Frozen(Small):
    def __init__(self) -> None:
        super().__init__()
        self.requires_grad_(False)


class Detached(Small):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).detach()


class Labels(Small):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).argmax(-1)


class BatchNorm(Small):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Sequential(nn.Linear(16, 10), nn.BatchNorm1d(10))


class Auxiliary(Small):
    """Gives a second output in training only, as Inception does."""

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        output = super().forward(x)
        return (output, output * 2) if self.training else output


class Spectral(Small):
    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.fft.irfft2(torch.fft.rfft2(self.stem(x))).mean((2, 3)))


class Complex(Small):
    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.rfft(super().forward(x))


class Noisy(Small):
    def forward(self, x: Tensor) -> Tensor:
        output = super().forward(x)
        return output + torch.randn_like(output)


class Uncountable(Small):
    """Cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        import threading

        self.lock = threading.Lock()
