"""Volumes and parameters, the modules that the released model is made of, and what results are held to."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vigbench.ops.dilated_convs import dilated_convs

KINDS = ("weight", "bias", "norm_weight", "norm_bias", "slope")
OUTPUTS = ("out", "dx", *(f"d{kind}{branch}" for kind in KINDS for branch in (1, 2, 3)))
ZERO = OUTPUTS[5:8]  # the gradients of biases, which rounding makes something of
Shape = tuple[int, int, int, int, int]


def sample(shape: Shape, dtype: torch.dtype = torch.float32, seed: int = 0) -> list[Tensor]:
    """x and fifteen parameters, then an upstream gradient."""
    rng = torch.Generator().manual_seed(seed)
    channels = shape[1]

    def normal(*sizes: int) -> Tensor:
        return torch.randn(*sizes, generator=rng)

    weights = [normal(channels, 1, 3, 3, 3) / 5 for _ in range(3)]
    biases = [normal(channels) for _ in range(3)]
    norms = [mean + normal(channels) / 4 for mean in (1, 0) for _ in range(3)]
    slopes = [torch.tensor([slope]) for slope in (0.25, 0.1, -0.3)]
    grad = normal(shape[0], 3 * channels, *shape[2:])
    return [one.to(dtype) for one in (normal(*shape), *weights, *biases, *norms, *slopes, grad)]


def grouped(parameters: Sequence[Any]) -> list[Sequence[Any]]:
    """Fifteen parameters as the operator takes them, by kind."""
    return [parameters[n : n + 3] for n in range(0, 15, 3)]


def computed(inputs: Sequence[Tensor], implementation: str = "reference") -> Tensor:
    """The result, of x and fifteen parameters."""
    return dilated_convs(inputs[0], *grouped(inputs[1:16]), implementation=implementation)


def differentiated(inputs: Sequence[Tensor], implementation: str = "reference") -> list[Tensor]:
    """The result and all gradients."""
    leaves = [one.detach().requires_grad_() for one in inputs[:16]]
    out = computed(leaves, implementation)
    return [out.detach(), *torch.autograd.grad(out, leaves, inputs[16])]


def doubled(inputs: Sequence[Tensor]) -> list[Tensor]:
    """The same numbers in float64."""
    return [one.double() for one in inputs]


def assert_close(found: Sequence[Tensor], expected: Sequence[Tensor], allowed: float) -> None:
    """max|error| is allowed so much of max|expected|, of a slope's gradient and where that is zero of the terms."""
    terms = max(float(one.abs().max()) for one in expected[11:14])
    for name, one, wanted in zip(OUTPUTS, found, expected, strict=True):
        assert one.shape == wanted.shape, name
        assert torch.isfinite(one).all(), name
        scale = float(wanted.abs().max())
        scale = terms if name in ZERO else max(scale, terms) if "slope" in name else scale
        error = float((one.double() - wanted).abs().max())
        assert error <= allowed * scale, f"{name}: {error:.1e} of {scale:.1e}"


class Branches(nn.Module):
    """The block's branches as modules, one after the other."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(
                nn.Conv3d(channels, channels, 3, padding=rate, dilation=rate, groups=channels),
                nn.GroupNorm(channels, channels),
                nn.PReLU(),
            )
            for rate in (1, 2, 3)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)

    def by_kind(self) -> list[Tensor]:
        """The parameters in the operator's order."""
        rows = [list(branch.parameters()) for branch in self.branches]
        return [row[kind] for kind in range(5) for row in rows]
