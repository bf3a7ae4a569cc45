"""The correctness check before timing: a result that differs from the reference is never timed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from vigbench.subjects.task import Measure

# A parameter whose gradient is below this share of the largest one is judged on that scale: some are zero but for
# rounding (a bias before a norm), and rounding has no relative error.
SMALLEST_GRADIENT_SCALE = 1e-2


def relative_error(output: Tensor, reference: Tensor, measure: Measure = "largest") -> float:
    """max|output - reference| / max|reference|, or of norms; infinite where `output` is not finite.

    Args:
        output: any shape and float dtype.
        reference: the same shape.
        measure: whether a tensor is as large as its largest entry or as its norm.

    Raises:
        ValueError: if the shapes differ.
    """
    if output.shape != reference.shape:
        raise ValueError(f"The output has shape {tuple(output.shape)}, the reference {tuple(reference.shape)}.")
    if not is_finite(output):
        return math.inf
    if not reference.numel():
        return 0.0
    wide, size = _wide(reference), _rms if measure == "norm" else _largest
    whole, difference = size(wide), size(_wide(output) - wide)
    return difference / whole if whole > 0 else difference


def gradient_error(gradients: Mapping[str, Tensor], reference: Mapping[str, Tensor]) -> tuple[float, str]:
    """The largest ||gradient - reference|| / ||reference|| over all gradients, and the name of the tensor that has it.

    Norms, not maxima: a gradient sums over the whole image, so that single entries of small ones are mostly rounding.
    That of one number is but one such entry (PReLU's slope), and is judged on the scale of the largest gradient.

    Args:
        gradients: name -> gradient, any float dtype.
        reference: the same names and shapes.

    Raises:
        ValueError: if a gradient is missing on one side.
    """
    if gradients.keys() != reference.keys():
        only = sorted(gradients.keys() ^ reference.keys())
        raise ValueError(f"Only one of subject and reference has a gradient for {', '.join(only[:3])}.")
    largest = max(map(_rms, reference.values()), default=0.0)
    errors = {}
    for name, gradient in gradients.items():
        floor = largest if gradient.numel() == 1 else SMALLEST_GRADIENT_SCALE * largest
        scale = max(floor, _rms(reference[name]))
        difference = _rms(gradient.double() - reference[name].double()) if is_finite(gradient) else math.inf
        errors[name] = difference / scale if scale > 0 else difference
    worst = max(errors, key=errors.__getitem__)
    return errors[worst], worst


def _wide(tensor: Tensor) -> Tensor:
    return tensor.to(torch.complex128) if tensor.is_complex() else tensor.double()


def is_finite(output: Tensor) -> bool:
    """Whether no value is NaN or infinite."""
    return bool(output.isfinite().all())


def _largest(tensor: Tensor) -> float:
    return float(tensor.abs().max())


def _rms(tensor: Tensor) -> float:
    return float(_wide(tensor.detach()).abs().square().mean().sqrt()) if tensor.numel() else 0.0
