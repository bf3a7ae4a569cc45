"""What the selective scan, Bi-WKV, attention and the blocks around them are checked on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from vigbench.measure.operator_check.sample import Draw, Sample, largest
from vigbench.ops.biwkv import bi_wkv
from vigbench.ops.causal_conv import bidirectional_causal_conv
from vigbench.ops.gated_norm import gated_norm
from vigbench.ops.registry import get_implementation
from vigbench.ops.scan import bidirectional_selective_scan, selective_scan

LENGTHS = (1, 3, 15, 16, 17, 31, 33, 70, 257, 513)  # around the ends of chunks and segments
ATTENTION_LENGTHS = (1, 64, 197, 1025)
FUSED, PLAIN = "triton_fused", "torch"  # of the blocks around operators
EPS = 1e-6

STEPS: dict[str, Callable[[Tensor], Tensor]] = {  # of a normal sample: what softplus is applied to
    "as initialised": lambda n: n - 4.6,
    "steps near 0.7": lambda n: n,
    "steps of 3e-7": lambda n: n - 15,
    "beyond softplus' threshold": lambda n: 30 * n,
    "steps of 500": lambda n: 500 + 100 * n,
    "rare steps of 300": lambda n: torch.where(n > 2, 300.0, n - 4.6),
}
KEYS: dict[str, Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]] = {  # of normal w, u and k
    "as initialised": lambda w, u, k: (0.02 * w.abs(), u, k),
    "as trained": lambda w, u, k: (4 * w / k.shape[1], 8 * u, 3 * k),
    "strong decay": lambda w, u, k: (20 * w.abs(), u, k),
    "growth": lambda w, u, k: (-20 * w.abs() / k.shape[1], u, k),
    "keys of 1e4": lambda w, u, k: (w / k.shape[1], u, 1e4 * k),
}


def scan_samples(device: torch.device, dtype: torch.dtype) -> Iterator[Sample]:
    """Every regime of steps, lengths, numbers of states, one direction, and what may be left out."""
    draw = Draw(device, dtype)
    for steps in STEPS:
        yield _scan(draw, steps, 70)
    for length in LENGTHS:
        yield _scan(draw, "as initialised", length, batch=1)
    for state in (1, 8, 64):
        yield _scan(draw, "as initialised", 33, state=state)
    yield _scan(draw, "as initialised", 70, dim=17)
    yield _scan(draw, "as initialised", 70, optional=False)
    for reverse in (False, True):
        yield _scan_one_direction(draw, reverse)


def _scan_inputs(draw: Draw, steps: str, tokens: tuple[int, ...], state: int) -> list[Tensor]:
    *lead, length, dim = tokens
    _, B, C = draw.slices(*lead, length, parts=(4, state, state))
    delta = STEPS[steps](draw.normal(*tokens)).to(draw.dtype)
    wide = torch.promote_types(draw.dtype, torch.float32)
    directions = tokens[:1] if len(tokens) == 4 else ()
    A = (-draw.normal(*directions, dim, state).exp()).to(wide)
    D, bias = (draw.normal(*directions, dim).to(wide) for _ in range(2))
    z = draw.rounded(*tokens[-3:-1], 2 * dim)[..., dim:]
    return [draw.rounded(*tokens), delta, A, B, C, D, z, bias]


def _scan(
    draw: Draw, steps: str, length: int, batch: int = 2, dim: int = 48, state: int = 16, optional: bool = True
) -> Sample:
    inputs: list[Tensor | None] = [*_scan_inputs(draw, steps, (2, batch, length, dim), state)]
    if not optional:
        inputs[5:] = [None, None, None]

    def run(implementation: str, *given: Any) -> Tensor:
        u, delta, A, B, C, D, z, bias = given
        return bidirectional_selective_scan(
            u, delta, A, B, C, D, z, bias, delta_softplus=True, implementation=implementation
        )

    left_out = "" if optional else ", without D, z and bias"
    name = f"{dim} channels, {state} states, {length} tokens, {steps}{left_out}"
    names = ("u", "delta", "A", "B", "C", "D", "z", "bias")
    return Sample(name, inputs, names, draw.rounded(batch, length, dim), run)


def _scan_one_direction(draw: Draw, reverse: bool) -> Sample:
    def run(implementation: str, *given: Any) -> Tensor:
        u, delta, A, B, C, D, z, bias = given
        return selective_scan(
            u, delta, A, B, C, D, z, bias, delta_softplus=True, reverse=reverse, implementation=implementation
        )

    inputs = _scan_inputs(draw, "as initialised", (2, 70, 48), 16)
    names = ("u", "delta", "A", "B", "C", "D", "z", "bias")
    name = f"{'backward' if reverse else 'forward'} direction alone"
    return Sample(name, inputs, names, draw.rounded(2, 70, 48), run)


def biwkv_samples(device: torch.device, dtype: torch.dtype) -> Iterator[Sample]:
    """Every regime of keys and decays, and lengths."""
    draw = Draw(device, dtype)
    for keys in KEYS:
        yield _biwkv(draw, keys, 70)
    for length in LENGTHS:
        yield _biwkv(draw, "as trained", length)
    yield _biwkv(draw, "as trained", 70, channels=17)


def _biwkv(draw: Draw, keys: str, length: int, channels: int = 48) -> Sample:
    wide = torch.promote_types(draw.dtype, torch.float32)
    k, v = draw.slices(2, length, parts=(channels, channels))
    w, u, k = KEYS[keys](draw.normal(channels), draw.normal(channels), k)

    def run(implementation: str, *given: Any) -> Tensor:
        w, u, k, v = given
        return bi_wkv(w, u, k, v, implementation=implementation)

    name = f"{channels} channels, {length} tokens, {keys}"
    inputs = (w.to(wide), u.to(wide), k.to(draw.dtype), v)
    return Sample(name, inputs, ("w", "u", "k", "v"), draw.rounded(2, length, channels), run, scales=_biwkv_scales)


def _biwkv_scales(expected: Sequence[Tensor]) -> list[float]:
    """A token's terms are as large as dv, where the others nearly vanish; those of dw are multiplied by distances."""
    own = largest(expected)
    terms, length = own[-1], expected[0].shape[1]
    return [max(x, y) for x, y in zip(own, (0.0, length * terms, terms, terms, terms), strict=True)]


def attention_samples(device: torch.device, dtype: torch.dtype) -> Iterator[Sample]:
    """One token and more than a tile of them, with and without a causal mask."""
    draw = Draw(device, dtype)
    for length in ATTENTION_LENGTHS:
        for causal in (False, True):
            qkv = [x.unflatten(-1, (3, 64)) for x in draw.slices(2, length, parts=(192, 192, 192))]
            name = f"3x64x64, {length} tokens{', causal' if causal else ''}"
            yield Sample(name, qkv, ("q", "k", "v"), draw.rounded(2, length, 3, 64), _Attention(causal))


class _Attention:
    def __init__(self, causal: bool) -> None:
        self.causal = causal

    def __call__(self, implementation: str, *given: Any) -> Tensor:
        out: Tensor = get_implementation("attention", implementation).load()(*given, 0.125, self.causal)
        return out


def conv_samples(device: torch.device, dtype: torch.dtype) -> Iterator[Sample]:
    """Lengths, channels, taps, and both orders of the result in memory."""
    draw = Draw(device, dtype)
    for length, dim, taps in ((1, 48, 4), (2, 48, 4), (33, 17, 3), (70, 130, 4), (513, 48, 2)):
        for channels_first in (False, True):
            x = draw.rounded(2, length, 2 * dim)[..., dim:]
            inputs = (x, draw.rounded(2, dim, taps), draw.rounded(2, dim))
            order = ", channels first" if channels_first else ""
            name = f"{dim} channels, {taps} taps, {length} tokens{order}"
            yield Sample(name, inputs, ("x", "weight", "bias"), draw.rounded(2, 2, length, dim), _Conv(channels_first))


class _Conv:
    def __init__(self, channels_first: bool) -> None:
        self.channels_first = channels_first

    def __call__(self, implementation: str, *given: Any) -> Tensor:
        x, weight, bias = given
        fused = implementation == FUSED
        return bidirectional_causal_conv(x, weight, bias, fused=fused, channels_first=self.channels_first)


def norm_samples(device: torch.device, dtype: torch.dtype) -> Iterator[Sample]:
    """ViG's shapes and odd ones, with and without the activation."""
    draw = Draw(device, dtype)
    for dim, rows in ((64, 200), (32, 70), (17, 33), (128, 1)):
        for act in (False, True):
            inputs = (*(draw.rounded(2, rows, 3, dim) for _ in range(3)), draw.rounded(dim), draw.rounded(dim))
            names = ("o", "local", "gate", "o_weight", "local_weight")
            name = f"{dim} channels, {rows} tokens{', SiLU' if act else ''}"
            yield Sample(name, inputs, names, draw.rounded(2, rows, 3, dim), _Norm(act))


class _Norm:
    def __init__(self, act: bool) -> None:
        self.act = act

    def __call__(self, implementation: str, *given: Any) -> Tensor:
        o, local, gate, o_weight, local_weight = given
        # without Triton the gate is overwritten, which a leaf does not allow
        return gated_norm(o, local, gate + 0, o_weight, local_weight, EPS, self.act, fused=implementation == FUSED)
