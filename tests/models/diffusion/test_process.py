"""The diffusion process: its schedule, posterior, loss and sampling, beside what they are by definition."""

import math

import pytest
import torch
from torch import Tensor

from vigbench.models.diffusion.process import DiffusionProcess, Normal, divergence_of, log_likelihood

PROCESS = DiffusionProcess.linear()
BETA = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)


def tensors(count: int, *shape: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(count)]


@pytest.mark.parametrize("t", [1, 2, 500, 999])
def test_the_posterior_is_bayes_rule(t: int) -> None:
    """The product of two normals in x_(t-1): what the clean latents make of it, and what the noisy ones do."""
    clean, noisy = tensors(2, 1, 4, 2, 2)
    keep_before = float((1 - BETA).cumprod(0)[t - 1])
    beta = float(BETA[t])
    precision = 1 / (1 - keep_before) + (1 - beta) / beta
    mean = (math.sqrt(keep_before) * clean / (1 - keep_before) + math.sqrt(1 - beta) * noisy / beta) / precision
    found = PROCESS.posterior(clean, noisy, torch.tensor([t]))
    torch.testing.assert_close(found.mean, mean, rtol=1e-9, atol=1e-12)
    assert float(found.log_variance) == pytest.approx(-math.log(precision), rel=1e-9)


def test_noise_is_added_as_often_as_steps_were_taken() -> None:
    clean, noise = tensors(2, 3, 4, 2, 2)
    t = torch.tensor([0, 10, 999])
    for i, step in enumerate(t.tolist()):
        kept = math.prod(1 - float(beta) for beta in BETA[: step + 1])
        expected = math.sqrt(kept) * clean[i] + math.sqrt(1 - kept) * noise[i]
        torch.testing.assert_close(PROCESS.noisy(clean, noise, t)[i], expected, rtol=1e-9, atol=1e-9)


def test_the_loss_of_one_who_knows_is_the_bound_alone() -> None:
    clean, noise = tensors(2, 2, 4, 2, 2)
    t = torch.tensor([1, 700])
    noisy = PROCESS.noisy(clean, noise, t)
    found = torch.cat([noise, torch.full_like(noise, -1)], 1)  # the posterior's own variance
    assert abs(PROCESS.loss(found, clean, noise, noisy, t)) < 1e-12
    wider = torch.cat([noise, torch.full_like(noise, 1)], 1)
    assert PROCESS.loss(wider, clean, noise, noisy, t) > 1e-6


def test_the_loss_is_its_definition() -> None:
    """Number by number, in plain Python: t = 0 has a likelihood, every other step a divergence."""
    clean, noise, said, variance = tensors(4, 2, 1, 1, 2)
    clean[0, 0, 0, 0] = -1.0
    t = torch.tensor([0, 400])
    noisy = PROCESS.noisy(clean, noise, t)
    found = PROCESS.loss(torch.cat([said, variance], 1), clean, noise, noisy, t)

    def cumulative(x: float) -> float:
        return 0.5 * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))

    keep, total = (1 - BETA).cumprod(0).tolist(), 0.0
    for i, step in enumerate(t.tolist()):
        before = keep[step - 1] if step else 1.0
        beta = float(BETA[step])
        posterior = float(BETA[max(step, 1)]) * (1 - keep[max(step, 1) - 1]) / (1 - keep[max(step, 1)])
        for at in range(2):
            x0, xt, e, said_e, v = (float(x[i, 0, 0, at]) for x in (clean, noisy, noise, said, variance))
            guess = (xt - math.sqrt(1 - keep[step]) * said_e) / math.sqrt(keep[step])
            of_clean, of_noisy = (
                math.sqrt(before) * beta / (1 - keep[step]),
                math.sqrt(1 - beta) * (1 - before) / (1 - keep[step]),
            )
            mean, true_mean = of_clean * guess + of_noisy * xt, of_clean * x0 + of_noisy * xt
            log_variance = (v + 1) / 2 * math.log(beta) + (1 - v) / 2 * math.log(posterior)
            if step:
                difference = math.log(posterior) - log_variance
                nats = 0.5 * (
                    -1 - difference + math.exp(difference) + (true_mean - mean) ** 2 * math.exp(-log_variance)
                )
            else:
                scale = math.exp(-0.5 * log_variance)
                upper, lower = (cumulative(scale * (x0 - mean + step_)) for step_ in (1 / 255, -1 / 255))
                share = upper if x0 < -0.999 else 1 - lower if x0 > 0.999 else upper - lower
                nats = -math.log(max(share, 1e-12))
            total += (e - said_e) ** 2 + nats / math.log(2)
    assert float(found) == pytest.approx(total / 4, rel=1e-9)


def test_the_variational_term_trains_variances_only() -> None:
    clean, noise, said, variance = tensors(4, 2, 4, 2, 2)
    t = torch.tensor([3, 400])
    said.requires_grad_()
    variance.requires_grad_()
    PROCESS.loss(torch.cat([said, variance], 1), clean, noise, PROCESS.noisy(clean, noise, t), t).backward()
    assert said.grad is not None
    assert variance.grad is not None
    torch.testing.assert_close(said.grad, 2 * (said.detach() - noise) / noise.numel())
    assert (variance.grad != 0).all()


def test_likelihoods_of_all_values_sum_to_one() -> None:
    values = torch.linspace(-1, 1, 256, dtype=torch.float64)
    for mean, spread in ((0.0, -4.0), (0.9, -2.0), (-1.2, -6.0)):
        normal = Normal(torch.full_like(values, mean), torch.full_like(values, spread))
        assert float(log_likelihood(values, normal).exp().sum()) == pytest.approx(1, abs=1e-6)


def test_a_divergence_is_that_of_two_normals() -> None:
    means, logs = tensors(2, 2, 5)
    one, other = (Normal(means[i], logs[i]) for i in range(2))
    expected = torch.distributions.kl_divergence(
        *(torch.distributions.Normal(each.mean, (0.5 * each.log_variance).exp()) for each in (one, other))
    )
    torch.testing.assert_close(divergence_of(one, other), expected)


@pytest.mark.parametrize("steps", [2, 50, 1000])
def test_sampling_finds_what_a_model_that_knows_it_points_to(steps: int) -> None:
    clean, start = tensors(2, 2, 4, 3, 3)
    noise = torch.zeros(2, steps, 4, 3, 3, dtype=torch.float64)
    process, asked = PROCESS.respaced(steps), []

    def model(x: Tensor, t: Tensor) -> Tensor:
        asked.append(int(t[0]))
        kept = PROCESS.keep[t][:, None, None, None]
        return torch.cat([(x - kept.sqrt() * clean) / (1 - kept).sqrt(), torch.zeros_like(x)], 1)

    found = process.sample(model, start, noise)
    torch.testing.assert_close(found, clean, rtol=1e-6, atol=1e-6)
    assert len(asked) == steps
    assert asked == sorted(asked, reverse=True)
    assert (asked[0], asked[-1]) == (999, 0), "told by the steps of training"


def test_noise_enters_every_step_but_the_last() -> None:
    start, *_ = tensors(1, 1, 4, 2, 2)
    noise = torch.randn(1, 5, 4, 2, 2, dtype=torch.float64)

    def model(x: Tensor, t: Tensor) -> Tensor:
        return torch.cat([x, x], 1).tanh()

    process = PROCESS.respaced(5)
    usual = process.sample(model, start, noise)
    for step in range(5):
        changed = noise.clone()
        changed[:, step] += 1
        assert torch.equal(process.sample(model, start, changed), usual) == (step == 0)
