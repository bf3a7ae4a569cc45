"""The recipe of weights and volumes for GLIMS (tests/golden/glims-models.json)."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.models.conftest import GOLDEN, recipe_state, splitmix
from vigbench.models.volumes.glims import GLIMS
from vigbench.subjects.catalog import create_model

FACTS: dict[str, Any] = json.loads((GOLDEN / "glims-models.json").read_text())
SLOPES = ("adn.A.weight", "prelu.weight", "prelu2.weight", "mlp.fn.weight")


def weight(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """The reference's weights for a key."""
    u, fan_in = splitmix(key, int(np.prod(shape))).reshape(shape), int(np.prod(shape[1:]))
    if key.endswith(SLOPES):
        u = 0.25 + 0.2 * u
    elif key.endswith(("SpatialGate.spatial.norm.bias", "relative_position_bias_table")):
        pass
    elif key.endswith("position_embeddings"):
        u = 0.5 * u
    elif len(shape) == 1:
        u = 1 + 0.25 * u if key.endswith(".weight") else 0.1 * u
    else:
        u = np.sqrt(3 / fan_in) * u
    return u.astype("<f4")  # type: ignore[no-any-return]


def load_recipe(model: nn.Module) -> str:
    """Give a model the recipe weights and leave its index buffers; returns the hash of keys and weights."""
    kept = {key: x for key, x in model.state_dict().items() if key.endswith("relative_position_index")}
    shapes = {key: x.shape for key, x in model.state_dict().items() if key not in kept}
    state, digest = recipe_state(shapes, weight)
    model.load_state_dict({**state, **kept}, strict=True)
    return digest


def recipe_volume(n: int, c: int, d: int, h: int, w: int) -> Tensor:
    """The reference's input, in float32."""
    b, ch, z, y, x = np.ogrid[:n, :c, :d, :h, :w]
    pattern = np.abs((z * (ch + 1) + y * (ch + 2) + x * (b + 3) + 17 * ch) % 64 - 32) / 16 - 1
    noise = splitmix("volume", n * c * d * h * w).reshape(n, c, d, h, w)
    return torch.from_numpy((pattern + 0.5 * noise).astype(np.float32))


@pytest.fixture(scope="session")
def with_recipe() -> Callable[..., GLIMS]:
    """A model with recipe weights, in float64 and eval mode."""

    def build(*size: int, **kwargs: Any) -> GLIMS:
        model = create_model("glims", img_size=size, **kwargs)
        load_recipe(model)
        assert isinstance(model, GLIMS)
        return model.double().eval()

    return build


@pytest.fixture(scope="session")
def golden() -> dict[str, np.ndarray]:
    """What the released code computes, in float64."""
    return dict(np.load(GOLDEN / "golden-glims.npz"))
