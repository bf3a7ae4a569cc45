"""The gate before timing: a result that differs from the reference is never timed."""

from __future__ import annotations

from torch import Tensor

# Largest difference / largest reference value, of the output of a whole model against float32 with the reference code.
TOLERANCE = {"float32": 1e-3, "bfloat16": 1e-1, "float16": 2e-2}


def relative_error(output: Tensor, reference: Tensor) -> float:
    """max|output - reference| / max|reference|; infinite where `output` is not finite.

    Args:
        output: any shape and float dtype.
        reference: the same shape.

    Raises:
        ValueError: if the shapes differ.
    """
    if output.shape != reference.shape:
        raise ValueError(f"The output has shape {tuple(output.shape)}, the reference {tuple(reference.shape)}.")
    if not is_finite(output):
        return float("inf")
    wide = reference.double()
    largest = wide.abs().max().item()
    difference = (output.double() - wide).abs().max().item()
    return difference / largest if largest > 0 else difference


def is_finite(output: Tensor) -> bool:
    """Whether no value is NaN or infinite."""
    return bool(output.isfinite().all())
