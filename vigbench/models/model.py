"""What every model of vigbench's own offers: the choice of its operator's code, and gradient checkpointing."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import torch
import torch.nn.functional as F
from timm.models import build_model_with_cfg, checkpoint
from torch import Tensor, nn

from vigbench.ops.registry import UnsupportedError, get_implementation

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class RMSNorm(nn.RMSNorm):
    """RMSNorm in the dtype of its input: autocast hands it half precision, and torch fuses equal dtypes only."""

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.normalized_shape, self.weight.to(x.dtype), self.eps)


class TokenMixer(nn.Module):
    """A layer around an operator; `implementation` says which code computes that, "auto" leaves it to the device."""

    implementation = "auto"


class Model(nn.Module):
    """A model around an operator.

    `operator` is what its token mixers compute, `implementation` says by which code; "auto" leaves the choice to the
    device at every call. `fuses_blocks` says whether it has kernels for whole blocks around the operator,
    `takes_any_size` whether one model serves every size.
    """

    operator: str
    fuses_blocks: ClassVar[bool] = False
    takes_any_size: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self.implementation = "auto"
        self.grad_checkpointing = False

    def set_implementation(self, name: str) -> None:
        """Compute the operator with this code from now on, in training and eval.

        ValueError for an unknown name, UnsupportedError (one, too) for one that the model has not.
        """
        if name != "auto" and get_implementation(self.operator, name).whole_block and not self.fuses_blocks:
            raise UnsupportedError(
                f"{type(self).__name__} has no kernels for whole blocks: choose another than {name}."
            )
        self.implementation = name
        for module in self.modules():
            if isinstance(module, TokenMixer):
                module.implementation = name

    def settle_weights(self) -> None:
        """Make seeded random weights compute what rounding leaves as it is, where they do not by themselves."""

    def run_block(self, block: Callable[..., Tensor], *inputs: Tensor | None) -> Tensor:
        """One block, recomputed in the backward if gradient checkpointing is on."""
        recomputed = self.grad_checkpointing and torch.is_grad_enabled()
        out: Tensor = checkpoint(block, *inputs) if recomputed else block(*inputs)
        return out

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute each block in the backward instead of storing its activations."""
        self.grad_checkpointing = enable


@torch.no_grad()
def liken_keys(queries: nn.Linear, keys: nn.Linear) -> None:
    """Settle seeded weights: of a scan's first token a norm keeps the sign of q k, which rounding may turn."""
    keys.weight.add_(queries.weight)


C = TypeVar("C", bound="DataclassInstance")
M = TypeVar("M", bound=Model)


def create(model: Callable[[C], M], configs: Mapping[str, C], name: str, pretrained: bool, **kwargs: Any) -> M:
    """A model as timm builds it; `kwargs` change its configuration, and TypeError names one that it does not have."""

    def build(**changes: Any) -> M:
        return model(replace(configs[name], **changes))

    feature_cfg = {"out_indices": 4, "feature_cls": "getter"}
    return build_model_with_cfg(build, name, pretrained, feature_cfg=feature_cfg, **kwargs)
