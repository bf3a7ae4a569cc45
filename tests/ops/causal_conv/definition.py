"""The convolution from torch's own conv1d, for tests of every implementation."""

import torch
import torch.nn.functional as F
from torch import Tensor


def by_conv1d(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """SiLU of a causal convolution of x, and of one of the flipped x, flipped back: (2, batch, length, dim)."""
    taps, dim = weight.shape[-1], x.shape[-1]
    forward = F.conv1d(F.pad(x.mT, (taps - 1, 0)), weight[0][:, None], bias[0], groups=dim)
    backward = F.conv1d(F.pad(x.mT.flip(-1), (taps - 1, 0)), weight[1][:, None], bias[1], groups=dim).flip(-1)
    return F.silu(torch.stack([forward.mT, backward.mT]))


def sample(batch: int, length: int, dim: int, taps: int, dtype: torch.dtype) -> tuple[list[Tensor], Tensor]:
    """x as a slice of a wider tensor, weight, bias; and a gradient."""
    torch.manual_seed(length)
    x = torch.randn(batch, length, 2 * dim).to(dtype)[..., dim:]
    weights = torch.randn(2, dim, taps).to(dtype), torch.randn(2, dim).to(dtype)
    return [x, *weights], torch.randn(2, batch, length, dim).to(dtype)


def worst_error(inputs: list[Tensor], grad: Tensor, *, fused: bool, channels_first: bool) -> float:
    """Of the output and all gradients, largest error over largest value."""
    from vigbench.ops.causal_conv import bidirectional_causal_conv

    leaves, exact = ([x.detach().to(dtype).requires_grad_() for x in inputs] for dtype in (grad.dtype, torch.float64))
    out = bidirectional_causal_conv(*leaves, fused=fused, channels_first=channels_first)
    assert out.dtype == grad.dtype
    assert (out.mT if channels_first else out).is_contiguous()
    expected = by_conv1d(*exact)
    found = (out, *torch.autograd.grad(out, leaves, grad))
    wanted = (expected, *torch.autograd.grad(expected, exact, grad.double()))
    return max(((x - y).abs().max() / y.abs().max()).item() for x, y in zip(found, wanted, strict=True))
