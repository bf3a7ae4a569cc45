"""The diffusion that DiT and DiG are trained on: linear schedule (arXiv 2006.11239), learned variances (2102.09672).

Steps count from 0; noisy latents of step t are sqrt(a_t) clean + sqrt(1 - a_t) noise, a_t the product of all 1 - beta
until t. A model gives noise and, between -1 and 1, where its log variance lies between the posterior's and log beta.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

STEPS = 1000
FIRST_BETA, LAST_BETA = 1e-4, 0.02
PIXEL_STEP = 1 / 255  # half the distance of two values of a pixel on [-1, 1]
EXTREME = 0.999  # beyond it a pixel's interval is open
SMALLEST_PROBABILITY = 1e-12
GUIDED_CHANNELS = 3  # of the noise's four, as released: "for exact reproducibility"


@dataclass(frozen=True)
class Normal:
    """A normal distribution of each latent."""

    mean: Tensor
    log_variance: Tensor

    def draw(self, noise: Tensor) -> Tensor:
        """The value that standard normal noise stands for."""
        return self.mean + (0.5 * self.log_variance).exp() * noise


class DiffusionProcess:
    """A schedule of steps.

    Args:
        keep: (steps,) float64, the share of the signal that is left after each step, a_t.
        timesteps: (steps,) what a model is told for each; those of the whole schedule if None.
    """

    def __init__(self, keep: Tensor, timesteps: Tensor | None = None) -> None:
        before = torch.cat([keep.new_ones(1), keep[:-1]])
        beta = 1 - keep / before
        variance = beta * (1 - before) / (1 - keep)
        self.keep = keep
        self.timesteps = torch.arange(len(keep)) if timesteps is None else timesteps
        self._tables = {
            "signal": keep.sqrt(),
            "spread": (1 - keep).sqrt(),
            "log_beta": beta.log(),
            "log_variance": torch.cat([variance[1:2], variance[1:]]).log(),  # the posterior's; the first is 0
            "of_clean": beta * before.sqrt() / (1 - keep),  # in the posterior's mean
            "of_noisy": (1 - before) * (keep / before).sqrt() / (1 - keep),
        }
        self._placed: dict[tuple[torch.device, torch.dtype], dict[str, Tensor]] = {}

    @classmethod
    def linear(cls) -> DiffusionProcess:
        """The schedule of training, of 1000 steps."""
        beta = torch.linspace(FIRST_BETA, LAST_BETA, STEPS, dtype=torch.float64, device="cpu")
        return cls((1 - beta).cumprod(0))

    def respaced(self, steps: int) -> DiffusionProcess:
        """The same diffusion in fewer steps, evenly chosen from the first to the last (2102.09672, section 4)."""
        chosen = torch.linspace(0, len(self.keep) - 1, steps, dtype=torch.float64, device="cpu").round().long()
        return DiffusionProcess(self.keep[chosen], self.timesteps[chosen])

    def noisy(self, clean: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """Latents after step t (batch,): (batch, channels, height, width), like the clean ones."""
        at = self._at(t, clean)
        return at["signal"] * clean + at["spread"] * noise

    def posterior(self, clean: Tensor, noisy: Tensor, t: Tensor) -> Normal:
        """What step t - 1 was, where both ends are known (2006.11239, equation 7)."""
        at = self._at(t, noisy)
        return Normal(at["of_clean"] * clean + at["of_noisy"] * noisy, at["log_variance"])

    def denoised(self, noise: Tensor, variance: Tensor, noisy: Tensor, t: Tensor) -> Normal:
        """What step t - 1 was, by a model's noise and variances (2102.09672, equation 15); nothing is clipped."""
        at = self._at(t, noisy)
        clean = (noisy - at["spread"] * noise) / at["signal"]
        log_variance = torch.lerp(at["log_variance"], at["log_beta"], (variance + 1) / 2)
        return Normal(self.posterior(clean, noisy, t).mean, log_variance)

    def loss(self, found: Tensor, clean: Tensor, noise: Tensor, noisy: Tensor, t: Tensor) -> Tensor:
        """Mean square of the noise's error plus the variational term of the variances, in bits a latent; a scalar.

        As released: the term's mean is detached, and unweighted (2102.09672, equations 4 to 7 and 16).

        Args:
            found: (batch, 2 channels, height, width), what the model gives for `noisy`; float32 or wider.
            clean, noise, noisy: (batch, channels, height, width).
            t: (batch,).
        """
        said, variance = found.chunk(2, 1)
        model = self.denoised(said.detach(), variance, noisy, t)
        divergence = divergence_of(self.posterior(clean, noisy, t), model)
        first = -log_likelihood(clean, model)
        bits = torch.where(t[:, None, None, None] == 0, first, divergence) / math.log(2)
        return (noise - said).square().mean() + bits.mean()

    def sample(self, model: Callable[[Tensor, Tensor], Tensor], start: Tensor, noise: Tensor) -> Tensor:
        """All steps from the last to the first.

        Args:
            model: of latents and timesteps (batch,), as it was trained: (batch, 2 channels, height, width).
            start: (batch, channels, height, width), standard normal.
            noise: (batch, steps, channels, height, width), standard normal, that of each step.

        Returns:
            Clean latents, like `start`.
        """
        x = start
        for step in reversed(range(len(self.keep))):
            t = torch.full(x.shape[:1], step, device=x.device)
            said, variance = model(x, torch.full_like(t, int(self.timesteps[step]))).to(x.dtype).chunk(2, 1)
            before = self.denoised(said, variance, x, t)
            x = before.draw(noise[:, step]) if step else before.mean
        return x

    def _at(self, t: Tensor, like: Tensor) -> dict[str, Tensor]:
        """The schedule's numbers at steps t, each (batch, 1, 1, 1); on a device after one copy, which waits for it."""
        place = like.device, like.dtype
        if place not in self._placed:
            self._placed[place] = {name: table.to(*place) for name, table in self._tables.items()}
        return {name: table[t][:, None, None, None] for name, table in self._placed[place].items()}


def guided(
    model: Callable[[Tensor, Tensor, Tensor], Tensor], x: Tensor, t: Tensor, y: Tensor, no_label: Tensor, scale: float
) -> Tensor:
    """What a model says of latents with classifier-free guidance (arXiv 2207.12598), by one call of twice the batch.

    Args:
        model: of latents, timesteps and labels.
        x, t, y: as it takes them.
        no_label: (batch,), the label that stands for none.
        scale: how far to go from without a label to with it, and beyond; 1: no guidance.

    Returns:
        Like the model, with label; of the noise the first three channels are guided, as released.
    """
    out = model(torch.cat([x, x]), torch.cat([t, t]), torch.cat([y, no_label]))
    noise, rest = out[:, :GUIDED_CHANNELS], out[:, GUIDED_CHANNELS:]
    with_label, without = noise.chunk(2)
    return torch.cat([torch.lerp(without, with_label, scale), rest.chunk(2)[0]], 1)


def divergence_of(one: Normal, other: Normal) -> Tensor:
    """KL(one || other) of each latent, in nats."""
    difference = one.log_variance - other.log_variance
    distance = (one.mean - other.mean).square() * (-other.log_variance).exp()
    return 0.5 * (difference.exp() + distance - 1 - difference)


def log_likelihood(x: Tensor, normal: Normal) -> Tensor:
    """Log probability of values of 255 equal steps on [-1, 1], as released (2006.11239, equation 13)."""
    centred, scale = x - normal.mean, (-0.5 * normal.log_variance).exp()
    upper, lower = (_cumulative(scale * (centred + step)) for step in (PIXEL_STEP, -PIXEL_STEP))
    within = torch.where(x > EXTREME, 1 - lower, upper - lower)
    return torch.where(x < -EXTREME, upper, within).clamp(min=SMALLEST_PROBABILITY).log()


def _cumulative(x: Tensor) -> Tensor:
    """The standard normal's distribution function, by the approximation of the released code."""
    return 0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
