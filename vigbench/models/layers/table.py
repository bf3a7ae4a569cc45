"""Every layer by the name of its subject, and the heads that papers give it at two widths."""

from collections.abc import Callable, Mapping
from typing import cast

from vigbench.models.layers.gla import GLALayer
from vigbench.models.layers.gsa import GSALayer
from vigbench.models.layers.layer import Layer
from vigbench.models.layers.llama import LlamaLayer
from vigbench.models.layers.mamba2 import Mamba2Layer
from vigbench.models.layers.retnet import RetNetLayer

Heads = tuple[int, int, int]
"""heads, key_dim, value_dim."""

LAYERS: Mapping[str, type[Layer]] = {
    "gla_layer": GLALayer,
    "llama_layer": LlamaLayer,
    "retnet_layer": RetNetLayer,
    "mamba2_layer": Mamba2Layer,
    "gsa_layer": GSALayer,
}

USUAL_HEADS: Mapping[str, Mapping[int, Heads]] = {  # by width
    "gla_layer": {1024: (4, 128, 256), 2048: (4, 256, 512)},
    "llama_layer": {1024: (8, 128, 128), 2048: (16, 128, 128)},
    "retnet_layer": {1024: (4, 256, 512), 2048: (8, 256, 512)},
    "mamba2_layer": {1024: (32, 128, 64), 2048: (64, 128, 64)},
    "gsa_layer": {1024: (4, 256, 256), 2048: (4, 512, 512)},
}


def create_layer(name: str, heads: int, key_dim: int, value_dim: int) -> Layer:
    """The layer of that name with these heads. ValueError, with advice, for heads that it does not have."""
    build = cast("Callable[[int, int, int], Layer]", LAYERS[name])  # as all of them are built
    return build(heads, key_dim, value_dim)
