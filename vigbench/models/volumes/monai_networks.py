"""MONAI's networks as vigbench measures them; importing this imports MONAI."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from monai.networks.nets import UNETR, SegResNet, SwinUNETR, UNet
from monai.networks.nets import swin_unetr as swin
from torch import Tensor, nn

from vigbench.models.volumes.networks import Sides
from vigbench.models.volumes.windows import CornerMerging, score_bias
from vigbench.nearest import one_of
from vigbench.ops.attention import set_attention
from vigbench.ops.registry import UnsupportedError

BEFORE_1_5 = "before_1.5"
MERGINGS = (BEFORE_1_5, "since_1.5")


class SwitchedAttention(swin.WindowAttention):  # type: ignore[misc]  # MONAI has no types
    """MONAI's attention of windows, with a choice of the code as timm's modules have it (`fused_attn`).

    MONAI's own option `use_flash_attention` takes scaled_dot_product_attention without gradients only; the label of a
    case says one code for all of it, so that the two have to agree.
    """

    fused_attn: bool = True

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        of_monai = getattr(self, "use_flash_attention", False)  # newer than MONAI 1.5
        if of_monai and self.fused_attn is torch.is_grad_enabled():
            raise UnsupportedError(
                "MONAI's use_flash_attention computes attention by scaled_dot_product_attention without gradients, and "
                "eagerly with them: choose sdpa for inference and eager for training, or leave it out of the args."
            )
        if of_monai or not self.fused_attn:
            return super().forward(x, mask)  # type: ignore[no-any-return]
        windows, tokens, dim = x.shape
        q, k, v = self.qkv(x).view(windows, tokens, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        bias = score_bias(self.relative_position_bias_table, self.relative_position_index, tokens, mask, windows)
        x = F.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=bias.to(q.dtype),
            dropout_p=self.attn_drop.p if self.training else 0.0,
            scale=self.scale,
        )
        return self.proj_drop(self.proj(x.transpose(1, 2).reshape(windows, tokens, dim)))  # type: ignore[no-any-return]

    @property
    def is_reference(self) -> bool:
        """Whether MONAI's own option leaves the plain code in place."""
        return not getattr(self, "use_flash_attention", False)

    def use_reference(self) -> None:
        """Compute by the plain code: without MONAI's own option."""
        self.use_flash_attention = False


class SwitchedSwinUNETR(SwinUNETR):  # type: ignore[misc]
    """MONAI's network, with the choice that vigbench's own models have."""

    takes_any_size: ClassVar[bool] = True
    merging_is_said = True

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Warns, unless `patch_merging` was given: weights do not say which MONAI they were trained with."""
        if not self.merging_is_said:
            warnings.warn(
                "Weights of Swin UNETR that were trained with MONAI before 1.5 load, and compute something else since: "
                f"MONAI reads other corners now. Create swin_unetr with patch_merging='{BEFORE_1_5}' for such weights, "
                "or 'since_1.5' for those of later ones.",
                stacklevel=2,
            )
        return super().load_state_dict(state_dict, strict, assign)

    def set_implementation(self, name: str) -> None:
        """Compute attention with this code from now on, in training and eval; ValueError for an unknown name."""
        set_attention(self, name)


class MergingBefore15(CornerMerging):
    """What MONAI merged before 1.5, with the same weights: GLIMS was made from that code."""

    def __init__(self, dim: int, norm_layer: type[nn.LayerNorm] = nn.LayerNorm, spatial_dims: int = 3) -> None:
        if norm_layer is not nn.LayerNorm or spatial_dims != 3:
            raise ValueError(f"patch_merging {BEFORE_1_5} goes with LayerNorm and volumes: leave other options out")
        super().__init__(dim)


def swin_unetr(
    sides: Sides,  # noqa: ARG001  one network takes all
    in_chans: int,
    num_classes: int,
    feature_size: int = 48,
    patch_merging: str = "",
    **options: Any,
) -> SwitchedSwinUNETR:
    """Swin UNETR (arXiv 2201.01266) with 48 features, as its authors report it; attention by any implementation.

    Args:
        sides: of the volumes: multiples of 32, one of them 64 or more.
        in_chans: channels of a volume.
        num_classes: channels of the logits.
        feature_size: channels of the first level.
        patch_merging: "before_1.5" reads corners as MONAI did until 1.4, for weights trained with that; with
            "since_1.5", or where nothing is said, they are those of today.
        options: further ones of MONAI's class, such as use_flash_attention.
    """
    if patch_merging not in ("", *MERGINGS):
        raise ValueError(f"patch_merging is {patch_merging!r}: choose {one_of(MERGINGS)}")
    if patch_merging == BEFORE_1_5:
        options["downsample"] = MergingBefore15
    model = SwitchedSwinUNETR(in_channels=in_chans, out_channels=num_classes, feature_size=feature_size, **options)
    model.merging_is_said = bool(patch_merging)
    for module in model.modules():
        if type(module) is swin.WindowAttention:
            module.__class__ = SwitchedAttention  # the same parameters by the same names
    return model


def unetr(sides: Sides, in_chans: int, num_classes: int, **options: Any) -> UNETR:
    """UNETR (arXiv 2103.10504) as MONAI has it by default: ViT-B on patches of 16, and a convolutional decoder."""
    return UNETR(in_channels=in_chans, out_channels=num_classes, img_size=sides, **options)


def unet(sides: Sides, in_chans: int, num_classes: int, **options: Any) -> UNet:  # noqa: ARG001  one takes all sizes
    """The residual U-Net of MONAI's tutorials: five levels of 16 to 256 channels, two units each."""
    shape: dict[str, Any] = {"channels": (16, 32, 64, 128, 256), "strides": (2, 2, 2, 2), "num_res_units": 2}
    return UNet(spatial_dims=3, in_channels=in_chans, out_channels=num_classes, **{**shape, **options})


def segresnet(sides: Sides, in_chans: int, num_classes: int, **options: Any) -> SegResNet:  # noqa: ARG001
    """SegResNet (arXiv 1810.11654) as in MONAI's tutorial for BraTS, without its dropout."""
    shape = {"init_filters": 16, "blocks_down": (1, 2, 2, 4), "blocks_up": (1, 1, 1)}
    return SegResNet(in_channels=in_chans, out_channels=num_classes, **{**shape, **options})
