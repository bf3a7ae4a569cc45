"""Layers once more, from their papers and token by token, in plain operations on one sequence (length, dim)."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

Heads = tuple[int, int, int]
Weights = Mapping[str, Tensor]


def swish(x: Tensor) -> Tensor:
    return x / (1 + (-x).exp())


def rms_normed(x: Tensor, eps: float) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + eps).sqrt()


def projected(x: Tensor, weights: Weights, name: str, heads: int) -> Tensor:
    """(length, heads, channels)."""
    return (x @ weights[f"{name}.weight"].T).view(len(x), heads, -1)


def gla(x: Tensor, w: Weights, shape: Heads) -> Tensor:
    """arXiv 2312.06635, equation 3 and section 4.4."""
    heads, key_dim, value_dim = shape
    q, k, v, r = (projected(x, w, f"{name}_proj", heads) for name in "qkvg")
    logits = (x @ w["gk_proj.0.weight"].T) @ w["gk_proj.1.weight"].T + w["gk_proj.1.bias"]
    alpha = torch.sigmoid(logits).pow(1 / 16).view(len(x), heads, key_dim)
    state, out = x.new_zeros(heads, key_dim, value_dim), []
    for t in range(len(x)):
        state = alpha[t, :, :, None] * state + k[t, :, :, None] * v[t, :, None, :]
        out.append((q[t, :, :, None] * state).sum(1) / key_dim**0.5)
    o = rms_normed(torch.stack(out), 1e-5) * w["g_norm_swish_gate.weight"]
    return (o * swish(r)).flatten(1) @ w["o_proj.weight"].T


def turned_product(q: Tensor, k: Tensor, apart: int, steps: int) -> Tensor:
    """Real part of sum q conj(k) e^(i apart theta): channels c and c + dim / 2 are a complex number's parts."""
    half = q.shape[-1] // 2
    theta = 10000.0 ** (-torch.arange(half, dtype=q.dtype) / steps)
    query, key = (torch.complex(x[..., :half], x[..., half:]) for x in (q, k))
    return (query * key.conj() * torch.polar(torch.ones_like(theta), apart * theta)).real.sum(-1)


def scores_of(q: Tensor, k: Tensor, t: int, steps: int) -> Tensor:
    """Of token t with itself and those before, (t + 1, heads)."""
    return torch.stack([turned_product(q[t], k[s], t - s, steps) for s in range(t + 1)])


def llama(x: Tensor, w: Weights, shape: Heads) -> Tensor:
    """arXiv 2302.13971, section 2.2; the wavelengths of arXiv 2104.09864, equation 15."""
    heads, dim, _ = shape
    q, k, v = (projected(x, w, f"{name}_proj", heads) for name in "qkv")
    out = []
    for t in range(len(x)):
        share = (scores_of(q, k, t, dim // 2) / dim**0.5).softmax(0)
        out.append((share[..., None] * v[: t + 1]).sum(0))
    return torch.stack(out).flatten(1) @ w["o_proj.weight"].T


def retnet(x: Tensor, w: Weights, shape: Heads) -> Tensor:
    """arXiv 2307.08621, equations 5 and 8, in the parallel form; wavelengths of the authors' code (torchscale)."""
    heads, key_dim, _ = shape
    q, k, v, gate = (projected(x, w, f"{name}_proj", heads) for name in "qkvg")
    gamma = 1 - 2.0 ** (-5 - torch.arange(heads, dtype=x.dtype))
    out = []
    for t in range(len(x)):
        decay = gamma ** torch.arange(t, -1, -1, dtype=x.dtype)[:, None]
        scores = scores_of(q, k, t, key_dim // 2 - 1) / key_dim**0.5 * decay
        out.append((scores[..., None] * v[: t + 1]).sum(0))
    return (swish(gate) * rms_normed(torch.stack(out), 1e-6)).flatten(1) @ w["o_proj.weight"].T


def mamba2(x: Tensor, w: Weights, shape: Heads) -> Tensor:
    """arXiv 2405.21060, equation 16 with its discretisation and figure 6 (the block with parallel projections)."""
    heads, state_dim, head_dim = shape
    inner = heads * head_dim
    z, mixed, dt = (x @ w["in_proj.weight"].T).split((inner, inner + 2 * state_dim, heads), -1)
    before = torch.cat([x.new_zeros(3, mixed.shape[1]), mixed])
    taps = w["conv1d.weight"][:, 0]
    mixed = swish(sum(before[j : j + len(x)] * taps[:, j] for j in range(4)) + w["conv1d.bias"])
    u, b, c = mixed.split((inner, state_dim, state_dim), -1)
    u, dt, a = u.view(-1, heads, head_dim), (1 + (dt + w["dt_bias"]).exp()).log(), -w["A_log"].exp()
    state, out = x.new_zeros(heads, head_dim, state_dim), []
    for t in range(len(x)):
        state = (dt[t] * a).exp()[:, None, None] * state + (dt[t][:, None] * u[t])[..., None] * b[t]
        out.append((state * c[t]).sum(-1) + w["D"][:, None] * u[t])
    y = torch.stack(out).flatten(1) * swish(z)
    return (rms_normed(y, 1e-5) * w["norm.weight"]) @ w["out_proj.weight"].T


def gsa(x: Tensor, w: Weights, shape: Heads) -> Tensor:
    """arXiv 2409.07146, equations 7 to 9 and section 3.3."""
    heads, key_dim, value_dim = shape
    q, k, v = (swish(projected(x, w, f"{name}_proj", heads)) for name in "qkv")
    alpha = torch.sigmoid(projected(x, w, "f_proj", heads)).pow(1 / 8)[..., None]
    keys, values, out = x.new_zeros(heads, 64, key_dim), x.new_zeros(heads, 64, value_dim), []
    for t in range(len(x)):
        keys = alpha[t] * keys + (1 - alpha[t]) * k[t][:, None]
        values = alpha[t] * values + (1 - alpha[t]) * v[t][:, None]
        share = (keys * q[t][:, None]).sum(-1).softmax(-1)
        out.append((share[..., None] * values).sum(1))
    o = rms_normed(swish(torch.stack(out).flatten(1)), 1e-5) * w["g_norm.weight"]
    return o @ w["o_proj.weight"].T


RESTATED: dict[str, Callable[[Tensor, Weights, Heads], Tensor]] = {
    "gla_layer": gla,
    "llama_layer": llama,
    "retnet_layer": retnet,
    "mamba2_layer": mamba2,
    "gsa_layer": gsa,
}
