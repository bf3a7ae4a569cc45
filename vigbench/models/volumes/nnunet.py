"""nnU-Net's plain convolutional network, from the package that nnU-Net itself takes it from."""

from __future__ import annotations

from typing import Any

from dynamic_network_architectures.architectures.unet import PlainConvUNet
from torch import Tensor, nn

from vigbench.models.volumes.networks import Sides

FEATURES = (32, 64, 128, 256, 320, 320)
STRIDES = (1, 2, 2, 2, 2, 2)


class NnUNet(PlainConvUNet):  # type: ignore[misc]  # the package has no types
    """In training mode logits of every level of the decoder, the largest first; in eval mode those of the whole."""

    deep_supervision: bool | None = None  # None: in training mode

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        self.decoder.deep_supervision = self.training if self.deep_supervision is None else self.deep_supervision
        return super().forward(x)  # type: ignore[no-any-return]


def nnunet(sides: Sides, in_chans: int, num_classes: int, **options: Any) -> NnUNet:  # noqa: ARG001  one takes all
    """Six levels as nnU-Net plans them for BraTS (arXiv 1809.10486): InstanceNorm, LeakyReLU, no dropout."""
    shape: dict[str, Any] = {
        "n_stages": len(FEATURES),
        "features_per_stage": FEATURES,
        "kernel_sizes": 3,
        "strides": STRIDES,
        "n_conv_per_stage": 2,
        "n_conv_per_stage_decoder": 2,
        "conv_bias": True,
        "norm_op": nn.InstanceNorm3d,
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "nonlin": nn.LeakyReLU,
        "nonlin_kwargs": {"inplace": True},
    }
    return NnUNet(
        input_channels=in_chans,
        conv_op=nn.Conv3d,
        num_classes=num_classes,
        deep_supervision=True,
        **{**shape, **options},
    )
