"""Convolutional networks that segment volumes. A 1x1x1 convolution is a linear layer of every voxel."""

from itertools import pairwise

from vigbench.measure.closed_form.products import Sides, VolumeFormula, conv3d, linear, takes, voxels_of

UNET = (16, 32, 64, 128, 256)  # widths; the last two are on one grid
NNUNET = (32, 64, 128, 256, 320, 320)
SEGRESNET_BLOCKS = (1, 2, 2, 4)  # of an encoder's level; the decoder has one on each
SEGRESNET_WIDTH = 16


def unet(sides: Sides, in_chans: int = 4, classes: int = 3) -> int | None:
    """Kerfoot et al. 2018 (doi 10.1007/978-3-030-12029-0_40), with the widths and units of MONAI's tutorials.

    On the way down, a unit is two 3x3x3 and a shortcut: 3x3x3 where the unit strides, as all but the bottom's do, and
    1x1x1 where only the width changes. On the way up, a level is a transposed 3x3x3, which takes the level below beside
    the skip, and a unit of one 3x3x3.
    """
    if not takes(sides, 16, fewest=2):
        return None
    *widths, bottom = UNET
    deepest, narrow = voxels_of(sides, 16), widths[-1]
    macs = conv3d(deepest, narrow, bottom, 3) + conv3d(deepest, bottom, bottom, 3) + linear(deepest, narrow, bottom)
    below = bottom
    for level, width in reversed(list(enumerate(widths))):
        before, after = voxels_of(sides, 2**level), voxels_of(sides, 2 ** (level + 1))
        inputs, outputs = (widths[level - 1], widths[level - 1]) if level else (in_chans, classes)
        macs += 2 * conv3d(after, inputs, width, 3) + conv3d(after, width, width, 3)  # first and shortcut; second
        macs += conv3d(after, width + below, outputs, 3) + conv3d(before, outputs, outputs, 3)
        below = outputs
    return macs


def segresnet(sides: Sides, in_chans: int = 4, classes: int = 3) -> int | None:
    """arXiv 1810.11654 without the autoencoder that regularises; first width of MONAI's tutorial for BraTS.

    The decoder narrows with a 1x1x1 before it interpolates, and adds the skip.
    """
    if not takes(sides, 8):
        return None
    macs = conv3d(voxels_of(sides), in_chans, SEGRESNET_WIDTH, 3)
    for level, blocks in enumerate(SEGRESNET_BLOCKS):
        voxels, width = voxels_of(sides, 2**level), SEGRESNET_WIDTH * 2**level
        if level:
            macs += conv3d(voxels, width // 2, width, 3) + linear(voxels, width, width // 2)  # down; up
        in_decoder = 0 if level == len(SEGRESNET_BLOCKS) - 1 else 1
        macs += (blocks + in_decoder) * 2 * conv3d(voxels, width, width, 3)
    return macs + linear(voxels_of(sides), SEGRESNET_WIDTH, classes)


def nnunet(sides: Sides, in_chans: int = 4, classes: int = 3) -> int | None:
    """arXiv 1904.08128: widths double up to 320, two 3x3x3 a level on either way, a transposed 2x2x2 between levels.

    In inference, with logits of the largest level only.
    """
    if not takes(sides, 32, fewest=2):
        return None
    macs = 0
    for level, (inputs, width) in enumerate(pairwise((in_chans, *NNUNET))):
        voxels = voxels_of(sides, 2**level)
        macs += conv3d(voxels, inputs, width, 3) + conv3d(voxels, width, width, 3)
    for level, (width, below) in enumerate(pairwise(NNUNET)):
        voxels = voxels_of(sides, 2**level)
        macs += conv3d(voxels_of(sides, 2 ** (level + 1)), below, width, 2)
        macs += conv3d(voxels, 2 * width, width, 3) + conv3d(voxels, width, width, 3)
    return macs + linear(voxels_of(sides), NNUNET[0], classes)


FORMULAS: dict[str, VolumeFormula] = {"unet": unet, "segresnet": segresnet, "nnunet": nnunet}
