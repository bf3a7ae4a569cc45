"""Multiply-adds of known architectures in closed form: a second counter, which builds and runs no model.

Configurations are written down from papers and model code, products follow the rule of docs/measurement.md. Where this
count and `count_cost` agree, neither has missed an operator: they share no code.
"""

from vigbench.measure.closed_form import (
    cnn,
    diffusion,
    hierarchical,
    layers,
    linear_complexity,
    transformers,
    vig,
    volume_cnn,
    volume_transformers,
)
from vigbench.suites.case import Case
from vigbench.suites.resolution import Resolution, sides_of
from vigbench.suites.shape import Shape

__all__ = ["are_disputed", "closed_form_macs", "closed_form_of_case", "closed_form_of_layer"]

ALLOWED_DIFFERENCE = 0.005  # of the closed form

_OF_IMAGES = (
    transformers.FORMULAS
    | hierarchical.FORMULAS
    | cnn.FORMULAS
    | linear_complexity.FORMULAS
    | vig.FORMULAS
    | vig.WITH_MIXERS
    | diffusion.FORMULAS
)
_OF_VOLUMES = volume_cnn.FORMULAS | volume_transformers.FORMULAS


def closed_form_macs(subject: str, resolution: Resolution | None) -> int | None:
    """Multiply-adds of one forward pass of one image or volume, in inference.

    Args:
        subject: a model as timm names it, with the classes that timm gives it by default; ViG with another mixer,
            `vig_tiny_patch16_224(mixer="gsa")`; a network for volumes, with 4 channels in and 3 out.
        resolution: of the image in px or of the volume in voxels, for which the model is built where it takes
            `img_size`. Formulas of images are of square ones; volumes may have three sides.

    Returns:
        None for a subject without a formula, or a size that it does not take.
    """
    if resolution is None:
        return None
    if (of_volume := _OF_VOLUMES.get(subject)) is not None:
        try:
            depth, height, width = sides_of(resolution, 3)
        except ValueError:  # of an image
            return None
        return of_volume((depth, height, width))
    of_image = _OF_IMAGES.get(subject)
    return of_image(resolution) if of_image is not None and isinstance(resolution, int) else None


def closed_form_of_layer(subject: str, length: int, shape: Shape) -> int | None:
    """Multiply-adds of one forward pass of one sequence through a layer; None for one without a formula."""
    formula = layers.FORMULAS.get(subject)
    return None if formula is None else formula(length, shape)


def closed_form_of_case(case: Case) -> int | None:
    """Multiply-adds of one forward pass of an entry of a case's batch, of a scan one window; None without a formula."""
    if case.shape is not None and case.length is not None:
        return closed_form_of_layer(case.subject, case.length, case.shape)
    return closed_form_macs(case.model, case.built_for)


def are_disputed(macs: int, closed_form: int | None) -> bool:
    """Whether the count of a model and its closed form differ by more than 0.5%; not without a formula."""
    return closed_form is not None and abs(macs - closed_form) > ALLOWED_DIFFERENCE * closed_form
