"""What is computed of a chunk, (tokens, states, channels), with all tokens in one lane's registers: no lane waits.

Triton gives the last dimension of a tile to lanes first, so that choosing a token of the first one costs nothing. Its
own `associative_scan` shuffles all lanes where it is reversed.
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
def step_of(raw, start, way, variant: tl.constexpr):
    """The step sizes, (tokens, channels), 0 beyond the way's end, where a state just stays."""
    step = softplus(raw) if variant.softplus else raw
    valid = start + tl.arange(0, variant.chunk) < way.end
    return tl.where(valid[:, None], step, 0.0)


@triton.jit
def decays(step, log2_decay):
    """(tokens, states, channels) of steps, (tokens, channels)."""
    return tl.exp2(step[:, None, :] * log2_decay)


@triton.jit
def gated(grad, z, scale, variant: tl.constexpr):
    """Gradient of a direction's outputs before the gate, (tokens, channels)."""
    d_out = grad.to(tl.float32) * scale
    if variant.has_z:
        gate = z.to(tl.float32)
        d_out *= gate * tl.sigmoid(gate)
    return d_out


@triton.jit
def _token(x, number, chunk: tl.constexpr):
    """(1, states, channels) of a token: by its bits, as 0 added to a float is an instruction."""
    chosen = (tl.arange(0, chunk) == number)[:, None, None]
    bits = tl.where(chosen, x.to(tl.int32, bitcast=True), 0)
    return tl.sum(bits, 0).to(tl.float32, bitcast=True)[None, :, :]


@triton.jit
def scan(decay, written, state, chunk: tl.constexpr):
    """The states before and after each token, (tokens, states, channels), and the one after all of them.

    `state` is the one before all, (1, states, channels).
    """
    number = tl.arange(0, chunk)[:, None, None]
    before, after = decay, written
    for n in tl.static_range(chunk):
        before = tl.where(number == n, state, before)
        state = _token(decay, n, chunk) * state + _token(written, n, chunk)
        after = tl.where(number == n, state, after)
    return before, after, state


@triton.jit
def scan_back(decay, read, d_state, chunk: tl.constexpr):
    """Gradients of the state after each token and of what decays there, and of the state before all tokens.

    `read`: what the token's own output adds to the former; `d_state`: of the state after all tokens.
    """
    number = tl.arange(0, chunk)[:, None, None]
    after, decayed = read, decay
    for n in tl.static_range(chunk):
        d_after = _token(read, chunk - 1 - n, chunk) + d_state
        d_state = _token(decay, chunk - 1 - n, chunk) * d_after
        after = tl.where(number == chunk - 1 - n, d_after, after)
        decayed = tl.where(number == chunk - 1 - n, d_state, decayed)
    return after, decayed, d_state
