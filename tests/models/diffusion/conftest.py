"""The recipe of weights for DiG and DiT (tests/golden/dig-models.json), and what the released code computes with it."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.models.conftest import GOLDEN, recipe_image, recipe_state, splitmix
from vigbench.subjects.catalog import create_model

FACTS: dict[str, dict[str, Any]] = json.loads((GOLDEN / "dig-models.json").read_text())["models"]
SIZES = {"small": "s", "base": "b", "large": "l", "xlarge": "xl"}
FACTS_OF = {f"dig_{size}_patch2": f"dig_{short}" for size, short in SIZES.items()} | {
    f"dit_{size}_patch{patch}": f"dit_{short}_{patch}" for size, short in SIZES.items() for patch in (2, 4, 8)
}
GOLDENS = {"dig_small_patch2": "dig_s", "dit_small_patch2": "dit_s"}
CASES = {"2x16x16": (2, 4, 16, 16), "1x16x24": (1, 4, 16, 24)}


def weight(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """The reference's weights for a key."""
    u, fan_in = splitmix(key, int(np.prod(shape))).reshape(shape), int(np.prod(shape[1:]))
    if key.endswith("gk_proj.1.bias"):
        u = 4 * u
    elif len(shape) == 1:
        u = 1 + 0.25 * u if key.endswith(".weight") else 0.1 * u
    elif not key.endswith("embedding_table.weight"):
        u = (2 if "gk_proj" in key or "adaLN_modulation" in key else 1) * np.sqrt(3 / fan_in) * u
    if key.endswith("dw_conv.weight"):
        u[:, :, 1, 1] += 0.5
    return u.astype("<f4")  # type: ignore[no-any-return]


def load_recipe(model: nn.Module) -> str:
    """Give a model the recipe weights and leave its table; returns the hash of keys and weights."""
    shapes = {key: x.shape for key, x in model.state_dict().items() if key != "pos_embed"}
    state, digest = recipe_state(shapes, weight)
    model.load_state_dict({**state, "pos_embed": model.state_dict()["pos_embed"]}, strict=True)
    return digest


def inputs_of(golden: Mapping[str, Tensor], case: str) -> tuple[Tensor, Tensor, Tensor]:
    """Latents in float64, timesteps and labels."""
    return recipe_image(*CASES[case]).double(), golden[f"out_{case}/t"], golden[f"out_{case}/y"]


@pytest.fixture(scope="session")
def with_recipe() -> Callable[..., nn.Module]:
    """A model with recipe weights, in float64 and eval mode."""

    def build(name: str, **kwargs: Any) -> nn.Module:
        model = create_model(name, **kwargs)
        load_recipe(model)
        return model.double().eval()

    return build


@pytest.fixture(scope="session")
def golden() -> Callable[[str], dict[str, Tensor]]:
    """What the released code computes, in float64."""
    return lambda name: {
        key: torch.from_numpy(np.asarray(x)) for key, x in np.load(GOLDEN / f"golden-{GOLDENS[name]}.npz").items()
    }
