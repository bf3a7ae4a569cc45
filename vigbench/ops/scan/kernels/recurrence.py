"""What is computed of a chunk, (tokens, states, channels), with all tokens in one lane's registers: no lane waits.

Triton gives the last dimension of a tile to lanes first, so that a scan over the first one is a loop in registers, and
choosing a token of it costs nothing.
"""

import triton
import triton.language as tl


@triton.jit
def softplus(raw):
    """log(1 + exp(raw)), to 1e-7 of itself, however small: a polynomial for log(1 + x) / x, of x from 0 to 1."""
    x = tl.exp(-tl.abs(raw))
    ratio = x * 0.005232690833508968 - 0.029505228623747826
    ratio = ratio * x + 0.07822594791650772
    ratio = ratio * x - 0.13663245737552643
    ratio = ratio * x + 0.19106008112430573
    ratio = ratio * x - 0.2484298199415207
    ratio = ratio * x + 0.3331909775733948
    ratio = ratio * x - 0.4999949336051941
    ratio = ratio * x + 0.9999999403953552
    return tl.maximum(raw, 0.0) + ratio * x


@triton.jit
def step_of(delta, bias, start, way, variant: tl.constexpr):
    """The step sizes, (tokens, channels), 0 beyond the way's end, where a state just stays."""
    step = delta.to(tl.float32) + bias
    if variant.softplus:
        step = softplus(step)
    valid = start + tl.arange(0, variant.chunk) < way.end
    return tl.where(valid[:, None], step, 0.0)


@triton.jit
def decays(step, log2_decay):
    """(tokens, states, channels) of steps, (tokens, channels)."""
    return tl.exp2(step[:, None, :] * log2_decay)


@triton.jit
def _after(decay, state, next_decay, next_state):
    return decay * next_decay, state * next_decay + next_state


@triton.jit
def scan(decay, written, entering, chunk: tl.constexpr):
    """The state after each token, (tokens, states, channels), from the one before the first, (1, states, channels)."""
    first = (tl.arange(0, chunk) == 0)[:, None, None]
    _, after = tl.associative_scan((decay, tl.where(first, written + decay * entering, written)), 0, _after)
    return after


@triton.jit
def last(x, chunk: tl.constexpr):
    """The last token's, (1, states, channels): by its bits, as 0 added to a float is an instruction."""
    is_last = (tl.arange(0, chunk) == chunk - 1)[:, None, None]
    bits = tl.where(is_last, x.to(tl.int32, bitcast=True), 0)
    return tl.sum(bits, 0).to(tl.float32, bitcast=True)[None, :, :]
