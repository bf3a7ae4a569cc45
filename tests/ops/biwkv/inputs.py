"""Keys and decays of every size, and what an implementation's result is held to."""

from collections.abc import Callable

import torch
from torch import Tensor

OUTPUTS = ("y", "dw", "du", "dk", "dv")
Change = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]


def _steep(w: Tensor, u: Tensor, k: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Keys along a line from -1e4 to 1e4, and decays that make up for it: far tokens count as much as near ones."""
    length = k.shape[1]
    slope = 2e4 / max(1, length - 1)
    line = slope * torch.arange(length, dtype=k.dtype).unsqueeze(-1) - 1e4
    return slope * w.sign(), u, k + line


CASES: dict[str, Change] = {  # of normal w and u, both over the length, and normal k
    "as initialised": lambda w, u, k: (torch.linspace(-5, 3, len(w)) / k.shape[1], u - 1.2 / k.shape[1], k),
    "as trained": lambda w, u, k: (4 * w - 1 / k.shape[1], 8 * u, 3 * k),
    "no decay": lambda w, u, k: (0 * w, 0 * u, k),
    "decay": lambda w, u, k: (20 * w.abs() * k.shape[1], u, k),
    "growth": lambda w, u, k: (-20 * w.abs() * k.shape[1], u, k),
    "decay and growth": lambda w, u, k: (100 * w * k.shape[1], u, k),
    "huge bonus": lambda w, u, k: (w, 1e3 * u * k.shape[1], k),
    "huge keys": lambda w, u, k: (w, u, 1e4 * k),
    "huge keys, decay and growth": lambda w, u, k: (100 * w * k.shape[1], u, 1e4 * k),
    "keys near 1e4": lambda w, u, k: (w, u, k + 1e4),
    "keys near -1e4, mild decay and growth": lambda w, u, k: (w * k.shape[1], u, k - 1e4),
    "steep keys": lambda w, u, k: (_steep(w, u, k)[0] * 0, u, _steep(w, u, k)[2]),
    "steep keys against the decay": _steep,
}


def sample(case: str, shape: tuple[int, int, int], dtype: torch.dtype = torch.float32, seed: int = 0) -> list[Tensor]:
    """w, u, k, v and an upstream gradient; w and u are float32 for half precision."""
    rng = torch.Generator().manual_seed(seed)
    w, u = (torch.randn(shape[2], generator=rng) / shape[1] for _ in range(2))
    k, v, grad = (torch.randn(*shape, generator=rng) for _ in range(3))
    w, u, k = CASES[case](w, u, k)
    wide = torch.promote_types(dtype, torch.float32)
    return [w.to(wide), u.to(wide), k.to(dtype), v.to(dtype), grad.to(dtype)]


def differentiated(operator: Callable[..., Tensor], inputs: list[Tensor]) -> list[Tensor]:
    """The output and the gradients of w, u, k and v."""
    *xs, grad = inputs
    leaves = [x.detach().requires_grad_() for x in xs]
    y = operator(*leaves)
    return [y.detach(), *torch.autograd.grad(y, leaves, grad)]


def doubled(inputs: list[Tensor]) -> list[Tensor]:
    """The same numbers in float64."""
    return [x.double() for x in inputs]


def assert_close(found: list[Tensor], expected: list[Tensor], allowed: float) -> None:
    """Errors relative to the largest number of a tensor, or to the largest terms that it is a sum of.

    A token's terms are as large as dv, where probabilities are near 0 or 1 and dk, du and dw nearly vanish; those of dw
    are multiplied by distances.
    """
    terms = expected[-1].abs().max().item() if expected[-1].numel() else 0.0
    length = expected[0].shape[1]
    scales = {"y": 0.0, "dw": length * terms, "du": terms, "dk": terms, "dv": terms}
    for name, x, y in zip(OUTPUTS, found, expected, strict=True):
        assert x.shape == y.shape, name
        assert torch.isfinite(x).all(), f"{name} is not finite"
        error, largest = ((x - y).abs().max().item(), y.abs().max().item()) if y.numel() else (0.0, 0.0)
        assert error <= allowed * max(largest, scales[name]), (name, error, largest)
