"""The reference's recipe for weights and images, which needs no random number generator (tests/golden)."""

import hashlib
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vigbench.subjects.catalog import create_model, fill_weights

GOLDEN = Path(__file__).parents[1] / "golden"
RELEASED_NAMES = {
    "vig_tiny_patch16_224": "vig_t",
    "vig_small_patch16_224": "vig_s",
    "vig_base_patch16_224": "vig_b",
    "vig_h_tiny_patch4_224": "vig_h_t",
    "vig_h_small_patch4_224": "vig_h_s",
    "vig_h_base_patch4_224": "vig_h_b",
}


def splitmix(key: str, count: int) -> np.ndarray:
    """u(key, i) in [-1, 1) for i below count."""
    z = np.uint64(zlib.crc32(key.encode()) << 32) + np.arange(count, dtype=np.uint64)
    z += np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1


def weight(key: str, shape: tuple[int, ...]) -> np.ndarray:
    u = splitmix(key, int(np.prod(shape))).reshape(shape)
    fan_in = int(np.prod(shape[1:]))
    if key.endswith("gk_proj.1.bias"):
        u = 4 * u
    elif len(shape) == 1:
        u = 1 + 0.25 * u if key.endswith(".weight") else 0.1 * u
    elif key == "pos_embed":
        u = 0.5 * u
    else:
        u = (2 if "gk_proj" in key else 1) * np.sqrt(3 / fan_in) * u
    return u.astype("<f4")


def recipe_image(n: int, c: int, h: int, w: int) -> Tensor:
    b, ch, y, x = np.ogrid[:n, :c, :h, :w]
    pattern = np.abs((y * (ch + 2) + x * (b + 3) + 17 * ch) % 128 - 64) / 32 - 1
    noise = splitmix("image", n * c * h * w).reshape(n, c, h, w)
    return torch.from_numpy((pattern + 0.5 * noise).astype(np.float32))


Weight = Callable[[str, tuple[int, ...]], np.ndarray]


def recipe_state(shapes: Mapping[str, Sequence[int]], weight: Weight) -> tuple[dict[str, Tensor], str]:
    """Weights of a recipe by their keys, and the hash of keys and weights."""
    state_dict, digest = {}, hashlib.sha256()
    for key, shape in sorted(shapes.items()):
        values = weight(key, tuple(shape))
        digest.update(key.encode() + values.tobytes())
        state_dict[key] = torch.from_numpy(values)
    return state_dict, digest.hexdigest()


def load_recipe(model: nn.Module, weight: Weight = weight) -> str:
    """Give a model the recipe weights; returns the hash of keys and weights."""
    state_dict, digest = recipe_state({key: x.shape for key, x in model.state_dict().items()}, weight)
    model.load_state_dict(state_dict, strict=True)
    return digest


def small(name: str, **kwargs: object) -> nn.Module:
    """A model of few and narrow layers."""
    depth = {"depths": (1, 1, 1, 1), "embed_dim": 32} if name.startswith("vig_h") else {"depth": 2, "embed_dim": 64}
    heads = {"num_heads": 2} if name.startswith("vig_t") else {}
    return create_model(name, **{"num_classes": 7, **depth, **heads, **kwargs})


def filled(name: str, **kwargs: object) -> nn.Module:
    """A small model in which every branch takes part."""
    model = small(name, **kwargs)
    fill_weights(model, 0)
    return model


@pytest.fixture(params=RELEASED_NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["vig_tiny_patch16_224", "vig_h_tiny_patch4_224"])
def tiny(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(
    params=[
        "vig_tiny_patch16_224",
        "vig_h_tiny_patch4_224",
        "vim_tiny_patch16_224",
        "vrwkv_tiny_patch16_224",
        "vrwkv_small_patch16_224",
    ]
)
def each(request: pytest.FixtureRequest) -> str:
    """The smallest model of each architecture; Vision-RWKV has two, as S has its norms after the mixers."""
    return str(request.param)


@pytest.fixture(scope="session")
def released() -> Callable[[str], dict[str, Any]]:
    """Facts about a released model."""
    facts = json.loads((GOLDEN / "vig-models.json").read_text())
    return lambda name: facts[RELEASED_NAMES[name]]  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def golden() -> Callable[[str], dict[str, Tensor]]:
    """Logits of a released model with recipe weights, in float64."""
    return lambda name: {
        key: torch.from_numpy(x) for key, x in np.load(GOLDEN / f"golden-{RELEASED_NAMES[name]}.npz").items()
    }


@pytest.fixture(scope="session")
def macs() -> Callable[[str, int], int]:
    """MACs of a released model at a resolution."""
    facts = json.loads((GOLDEN / "macs.json").read_text())
    return lambda name, resolution: facts[RELEASED_NAMES[name]][str(resolution)]["total"]  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def recipe() -> Callable[[nn.Module], str]:
    return load_recipe


@pytest.fixture(scope="session")
def image() -> Callable[..., Tensor]:
    return recipe_image
