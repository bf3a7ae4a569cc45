"""Models as people have them: what their forward pass keeps, and where."""

from functools import lru_cache

import torch
from torch import Tensor, nn

SIDE = 32
IMAGES = (1, 3, SIDE, SIDE)


class Stem(nn.Module):
    """Patches of 4 px, and a head."""

    def __init__(self, dim: int = 8) -> None:
        super().__init__()
        self.patches, self.head = nn.Conv2d(3, dim, 4, 4), nn.Linear(dim, 10)

    def tokens(self, images: Tensor) -> Tensor:
        return self.patches(images).flatten(2).transpose(1, 2)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.tokens(images).mean(1))


class KeepsMask(Stem):
    """A mask for each number of tokens, in a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.masks: dict[int, Tensor] = {}

    def forward(self, images: Tensor) -> Tensor:
        x = self.tokens(images)
        if x.shape[1] not in self.masks:
            window = torch.arange(x.shape[1], device=x.device) // 4
            self.masks[x.shape[1]] = window[:, None] != window[None]
        return self.head(self.attention(x, x, x, attn_mask=self.masks[x.shape[1]], need_weights=False)[0].mean(1))


class KeepsTable(Stem):
    """A table as an attribute, made anew when more tokens come."""

    def __init__(self) -> None:
        super().__init__()
        self.table: Tensor | None = None

    def forward(self, images: Tensor) -> Tensor:
        x = self.tokens(images)
        if self.table is None or len(self.table) < x.shape[1]:
            self.table = torch.arange(x.shape[1], device=x.device)[:, None].cos()
        return self.head((x * self.table[: x.shape[1]]).mean(1))


class ReplacesBuffer(Stem):
    """A buffer that each call replaces, and one that the first call registers."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(8))

    def forward(self, images: Tensor) -> Tensor:
        if not hasattr(self, "late"):
            self.register_buffer("late", torch.zeros(8, device=images.device), persistent=False)
        self.scale = self.scale * 1.0
        return self.head((self.tokens(images) * self.scale + self.late).mean(1))


class CountsInPlace(Stem):
    """A buffer that each call changes."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(images)


@lru_cache
def positions(tokens: int) -> Tensor:
    return torch.linspace(0, 1, tokens)[:, None]


TABLES: dict[int, Tensor] = {}


class KeepsInFunction(Stem):
    """What it keeps lies in its module: the cache of a function, and a dictionary."""

    def forward(self, images: Tensor) -> Tensor:
        x = self.tokens(images)
        table = TABLES.setdefault(x.shape[1], torch.ones(x.shape[1], 1, device=x.device))
        return self.head((x + positions(x.shape[1]) * table).mean(1))


class RegisteredTwice(Stem):
    """A convolution under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 3, 3, padding=1, groups=3)
        self.patches = nn.Sequential(self.first, nn.Conv2d(3, 8, 4, 4))


class PlainConstant(Stem):
    """A mean that is no buffer, and positions without a device."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = torch.tensor([0.4, 0.5, 0.6]).view(1, 3, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        x = self.tokens(images - self.mean)
        return self.head((x + torch.linspace(0, 1, x.shape[1])[:, None]).mean(1))


class Branches(Stem):
    """Goes another way where a value is large: it needs values."""

    def forward(self, images: Tensor) -> Tensor:
        x = self.tokens(images).mean(1)
        return self.head(x.relu()) if x.max().item() > -1e9 else x


class Hooked(Stem):
    """Features that a hook puts into a dictionary of its maker."""

    def __init__(self) -> None:
        super().__init__()
        found: dict[str, Tensor] = {}
        self.patches.register_forward_hook(lambda _module, _inputs, output: found.update(patches=output))
        self.found = found


def scripted() -> nn.Module:
    return torch.jit.script(Stem())


def parallel() -> nn.Module:
    return nn.DataParallel(Stem())


def compiled() -> nn.Module:
    return torch.compile(Stem(), backend="eager")


def weight_normed() -> nn.Module:
    model = Stem()
    nn.utils.parametrizations.weight_norm(model.head)
    return model


KINDS = (
    Stem, KeepsMask, KeepsTable, ReplacesBuffer, CountsInPlace, KeepsInFunction, RegisteredTwice, PlainConstant,
    Branches, Hooked, scripted, parallel, compiled, weight_normed,
)  # fmt: skip
