"""Inside the worker: the correctness gate, before anything is timed."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vigbench.measure.correctness import TOLERANCE, is_finite, relative_error
from vigbench.measure.memory import is_out_of_memory
from vigbench.ops.attention import set_attention
from vigbench.suites.case import Case, Precision

# The token-by-token reference takes seconds beyond this; the operator's own tests cover longer sequences.
LARGEST_GLA_GATE_PX = 1024


REFERENCES = {"gla": "reference", "attention": "eager"}


class WrongResultError(Exception):
    """The subject's output is not what its reference implementation computes."""


@dataclass(frozen=True)
class Gate:
    """What the gate found; `unverified` where the reference itself did not fit in memory."""

    error: float | None = None
    resolution: int | None = None
    unverified: bool = False


@torch.inference_mode()
def check_output(model: nn.Module, case: Case, operator: str | None, inputs: Tensor) -> Gate:
    """Compare one image's output with the reference implementation in float32 on the same weights.

    Args:
        model: the case's model on its device; left as it was.
        operator: the operator whose implementations differ; None: only finiteness is checked.
        inputs: (batch, 3, height, width); the first image is used.

    Raises:
        WrongResultError: if the output is not finite, or farther from the reference than the precision allows.
    """
    training = model.training
    model.eval()
    try:
        side = min(case.resolution, LARGEST_GLA_GATE_PX) if operator == "gla" else case.resolution
        image = inputs[:1, :, :side, :side]
        output = model(image)
        if not is_finite(output):
            raise WrongResultError("The output holds NaN or infinite values; nothing was timed.")
        if operator is None:
            return Gate()
        if case.precision == Precision.float32 and case.implementation == REFERENCES[operator]:
            return Gate(0.0, side)  # it is the reference
        try:
            reference = _reference(model, operator)(image.float())
        except (RuntimeError, MemoryError) as failure:
            if not is_out_of_memory(failure):
                raise
            return Gate(unverified=True)
        error = relative_error(output, reference)
    finally:
        model.train(training)
    allowed = TOLERANCE[case.precision]
    if error > allowed:
        raise WrongResultError(
            f"{case.implementation} differs from the reference by {error:.1e} of the largest output at {side} px; "
            f"{allowed:.0e} is allowed in {case.precision}. Nothing was timed."
        )
    return Gate(error, side)


def _reference(model: nn.Module, operator: str) -> nn.Module:
    reference = copy.deepcopy(model).float()
    if operator == "attention":
        set_attention(reference, REFERENCES[operator])
    else:
        reference.set_implementation(REFERENCES[operator])  # type: ignore[operator]
    return reference
