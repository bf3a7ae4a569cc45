"""What vigbench's own models have in common as timm models."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal

import torch
from timm.models import checkpoint
from torch import Tensor, nn

from vigbench.models.layers import TokenMixer
from vigbench.ops.registry import get_implementation

Pool = Literal["avg", "token", ""]


class Backbone(nn.Module, ABC):
    """An image classifier: (batch, in_chans, height, width) to (batch, num_classes).

    `operator` is what its token mixers compute, `implementation` says by which code; "auto" leaves the choice to the
    device at every call.
    """

    operator: ClassVar[str] = "gla"

    def __init__(self, num_features: int, num_classes: int, in_chans: int, global_pool: Pool) -> None:
        super().__init__()
        self.num_features = self.head_hidden_size = num_features
        self.num_classes = num_classes
        self.in_chans = in_chans
        self.global_pool = global_pool
        self.grad_checkpointing = False
        self.implementation = "auto"

    @abstractmethod
    def forward_features(self, x: Tensor) -> Tensor:
        """Normalised features before pooling."""

    @abstractmethod
    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Logits, or with `pre_logits` the pooled features they are computed from."""

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))

    def run_block(self, block: nn.Module, x: Tensor) -> Tensor:
        """One block, recomputed in the backward if gradient checkpointing is on."""
        out: Tensor = checkpoint(block, x) if self.grad_checkpointing and torch.is_grad_enabled() else block(x)
        return out

    def set_implementation(self, name: str) -> None:
        """Compute the operator with this code from now on, in training and eval. ValueError for an unknown name."""
        if name != "auto":
            get_implementation(self.operator, name)
        self.implementation = name
        for module in self.modules():
            if isinstance(module, TokenMixer):
                module.implementation = name

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute each block in the backward instead of storing its activations."""
        self.grad_checkpointing = enable


def default_cfg(**kwargs: Any) -> dict[str, Any]:
    """timm's description of a classifier trained on ImageNet-1k at 224."""
    return {
        "num_classes": 1000,
        "input_size": (3, 224, 224),
        "pool_size": None,
        "crop_pct": 0.9,
        "interpolation": "bicubic",
        "mean": (0.485, 0.456, 0.406),
        "std": (0.229, 0.224, 0.225),
        **kwargs,
    }
