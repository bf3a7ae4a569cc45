"""Multiply-adds of known architectures in closed form: a second counter, which builds and runs no model.

Configurations are written down from papers and model code, products follow the rule of docs/measurement.md. Where this
count and `count_cost` agree, neither has missed an operator: they share no code.
"""

from vigbench.measure.closed_form import cnn, diffusion, hierarchical, linear_complexity, transformers

__all__ = ["are_disputed", "closed_form_macs"]

ALLOWED_DIFFERENCE = 0.005  # of the closed form

_FORMULAS = (
    transformers.FORMULAS | hierarchical.FORMULAS | cnn.FORMULAS | linear_complexity.FORMULAS | diffusion.FORMULAS
)


def closed_form_macs(subject: str, resolution: int | str | None) -> int | None:
    """Multiply-adds of one forward pass of one square image.

    Args:
        subject: a model as timm names it, with the classes that timm gives it by default.
        resolution: side of the image in px, for which the model is built where it takes `img_size`; formulas are of
            square images.

    Returns:
        None for a subject without a formula, or a size that it does not take.
    """
    formula = _FORMULAS.get(subject)
    return formula(resolution) if formula is not None and isinstance(resolution, int) else None


def are_disputed(macs: int, closed_form: int | None) -> bool:
    """Whether the count of a model and its closed form differ by more than 0.5%; not without a formula."""
    return closed_form is not None and abs(macs - closed_form) > ALLOWED_DIFFERENCE * closed_form
