"""Whether implementations compute what is defined: every sample, outputs and gradients against float64, twice."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vigbench.measure.correctness import is_finite
from vigbench.ops.declaration import Implementation, OperatorInfo, load_target
from vigbench.ops.registry import UnsupportedError
from vigbench.ops.sample import Sample
from vigbench.subjects.task import DTYPES

TF32_TOLERANCE = 5e-2  # ten bits, through sums and products of several kernels
SMALLEST = {torch.float16: 6e-8}  # below it a dtype holds nothing
PRECISIONS = {**DTYPES, "float64": torch.float64}


@dataclass(frozen=True)
class Finding:
    """What came of it.

    Attributes:
        error: the largest error over the largest value, of the sample that comes nearest to its bound or is farthest
            beyond it; infinite where a value is not finite.
        allowed: the bound of that sample.
        where: its tensor and its name.
        samples: how many were computed.
        refused: name and reason of those that the implementation cannot compute.
        repeats: whether the same inputs gave the same bits again, wherever they were tried.
    """

    error: float
    allowed: float
    where: str
    samples: int
    refused: dict[str, str]
    repeats: bool

    @property
    def passed(self) -> bool:
        """Whether every error is within its bound."""
        return self.error <= self.allowed


def check_implementation(
    operator: OperatorInfo, implementation: Implementation, precision: str, device: torch.device
) -> Finding:
    """Every sample of the operator.

    Args:
        operator: what it computes, with its samples and what they are compared with.
        implementation: one that can run on the device.
        precision: a key of `PRECISIONS`.
        device: where to compute; memory that is handed out uninitialised holds NaN.

    Raises:
        UnsupportedError: if it can compute none of the samples; the reason is that of the first.
    """
    dtype = PRECISIONS[precision]
    tolerance = operator.tolerance[precision]
    if implementation.tf32 and dtype == torch.float32:
        tolerance = TF32_TOLERANCE
    trains = implementation.training and device.type not in implementation.inference_only
    worst, count, refused, repeats = (-1.0, 0.0, 1.0, ""), 0, dict[str, str](), True
    for sample in load_target(operator.samples)(device, dtype):
        if sample.infinite and not implementation.infinite_decay:
            refused[sample.name] = f"{implementation.name} does not take log-decays of -inf"
            continue
        try:
            with poisoned_memory():
                found = _run(sample, implementation.name, trains)
                again = _run(sample, implementation.name, trains)
        except UnsupportedError as error:
            refused[sample.name] = str(error)
            continue
        count += 1
        repeats = repeats and all(torch.equal(x, y) for x, y in zip(found, again, strict=True))
        expected = _run(_doubled(sample), operator.check_reference, trains)
        allowed = tolerance * sample.slack
        for name, deviation in _errors(found, expected, sample, dtype):
            worst = max(worst, (deviation / allowed, deviation, allowed, f"{name}: {sample.name}"))
    if count == 0:
        raise UnsupportedError(next(iter(refused.values()), "there is nothing to check it on"))
    return Finding(*worst[1:], samples=count, refused=refused, repeats=repeats)


def _run(sample: Sample, implementation: str, trains: bool) -> list[Tensor]:
    """The output, and where there is a backward the gradients of all inputs."""
    leaves = [None if x is None else x.detach().requires_grad_(trains) for x in sample.inputs]
    with torch.set_grad_enabled(trains):
        out = sample.run(implementation, *leaves)
    given = [x for x in leaves if x is not None]
    return [out.detach(), *(torch.autograd.grad(out, given, sample.grad) if trains else ())]


def _doubled(sample: Sample) -> Sample:
    inputs = [None if x is None else x.double() for x in sample.inputs]
    return Sample(sample.name, inputs, sample.names, sample.grad.double(), sample.run)


def _errors(
    found: Sequence[Tensor], expected: Sequence[Tensor], sample: Sample, dtype: torch.dtype
) -> Iterator[tuple[str, float]]:
    names = ["output", *(f"d{name}" for name, x in zip(sample.names, sample.inputs, strict=True) if x is not None)]
    for name, x, y, scale in zip(names, found, expected, sample.scales(expected), strict=False):
        if not is_finite(x):
            yield name, math.inf
        else:
            difference = max(0.0, float((x.double() - y).abs().max()) - SMALLEST.get(dtype, 0.0)) if x.numel() else 0.0
            yield name, difference / scale if scale > 0 else difference


@contextmanager
def poisoned_memory() -> Iterator[None]:
    """Memory that torch hands out uninitialised is NaN inside, so that what a kernel leaves unwritten shows."""
    module: Any = torch
    makers = ((module, "empty"), (module, "empty_like"), (module, "empty_strided"), (Tensor, "new_empty"))
    kept = [(owner, name, getattr(owner, name)) for owner, name in makers]
    try:
        for owner, name, make in kept:
            setattr(owner, name, _filled(make))
        yield
    finally:
        for owner, name, make in kept:
            setattr(owner, name, make)


def _filled(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def poisoned(*args: Any, **kwargs: Any) -> Tensor:
        out = make(*args, **kwargs)
        if out.is_meta:
            return out
        if out.dtype == torch.uint8:  # bytes that a kernel takes for numbers: all of them NaN
            return out.fill_(255)
        return out.fill_(math.nan) if out.is_floating_point() else out

    return poisoned
