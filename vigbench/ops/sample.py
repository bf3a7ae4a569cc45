"""What an operator is checked on: tensors, and how to call an implementation with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

SEED = 0
LENGTHS = (1, 3, 15, 16, 17, 31, 33, 70, 257, 513)  # around the ends of chunks and segments
Scales = Callable[[Sequence[Tensor]], list[float]]


def largest(expected: Sequence[Tensor]) -> list[float]:
    """The largest absolute value of each tensor."""
    return [float(x.abs().max()) if x.numel() else 0.0 for x in expected]


@dataclass(frozen=True)
class Sample:
    """One call.

    Attributes:
        name: what is special about it, for people.
        inputs: in the precision that is checked, with the strides that models produce; None where one is left out.
        names: of the inputs.
        grad: of the output.
        run: calls an implementation by its name: (implementation, *inputs) -> output.
        slack: factor on the tolerance, where a result goes through more roundings than the operator's own.
        scales: what errors of the output and of each gradient are relative to.
        infinite: whether a log-decay is -inf.
    """

    name: str
    inputs: Sequence[Tensor | None]
    names: Sequence[str]
    grad: Tensor
    run: Callable[..., Tensor]
    slack: float = 1.0
    scales: Scales = largest
    infinite: bool = False


class Draw:
    """Seeded random tensors on a device, drawn in float32 and rounded to a dtype."""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self.device, self.dtype = device, dtype
        self.generator = torch.Generator(device).manual_seed(SEED)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal float32."""
        return torch.randn(*shape, generator=self.generator, device=self.device)

    def uniform(self, *shape: int) -> Tensor:
        """Uniform float32 in [0, 1)."""
        return torch.rand(*shape, generator=self.generator, device=self.device)

    def rounded(self, *shape: int) -> Tensor:
        """Standard normal in the dtype."""
        return self.normal(*shape).to(self.dtype)

    def slices(self, *shape: int, parts: Sequence[int]) -> list[Tensor]:
        """Slices of one projection's last dimension, as models have them."""
        return list(self.rounded(*shape, sum(parts)).split(list(parts), -1))
