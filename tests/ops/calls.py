"""One call of each operator's Triton kernels on tensors of the meta device, to be compiled and not run."""

from collections.abc import Callable

import torch

from vigbench.ops.biwkv import triton_fused as biwkv
from vigbench.ops.causal_conv import triton_fused as conv
from vigbench.ops.gated_norm import triton_fused as gated_norm
from vigbench.ops.gla import triton_recurrent
from vigbench.ops.scan.kernels import launch
from vigbench.ops.scan.operator import ScanArguments

Call = Callable[[], object]
STATE = 16
CHANNELS = 192  # of Vision-RWKV-T


def _meta(*shape: int, dtype: str = "float32") -> torch.Tensor:
    return torch.empty(*shape, dtype=getattr(torch, dtype), device="meta")


def recurrent_call(dtype: str, key_dim: int, value_dim: int) -> Call:
    """ViG's recurrent kernel."""
    q, v = (_meta(2, 64, 3, dim, dtype=dtype) for dim in (key_dim, value_dim))
    return lambda: triton_recurrent._forward(q, q, v, q, q, 1.0)


def gated_norm_call(dtype: str, dim: int) -> Call:
    """The gated norm, both ways."""
    x, weight = _meta(2, 64, 3, dim, dtype=dtype), _meta(dim, dtype=dtype)

    def call() -> None:
        gated_norm._forward(x, x, x, weight, weight, 1e-6, True)
        gated_norm._backward(x, x, x, x, weight, weight, 1e-6, True)

    return call


def conv_call(dim: int, dtype: str, channels_first: bool) -> Call:
    """The short convolution on a slice of a projection, both ways."""
    x = _meta(2, 4097, 2 * dim, dtype=dtype)[..., :dim]
    weight, bias = _meta(2, dim, 4, dtype=dtype), _meta(2, dim, dtype=dtype)
    grad = _meta(2, 2, 4097, dim, dtype=dtype)

    def call() -> None:
        conv._forward(x, weight, bias, channels_first)
        conv._backward(grad, x, weight, bias, channels_first)

    return call


def scan_call(
    pass_: str, dim: int, dtype: str, length: int = 4097, directions: int = 2, state: int = STATE, batch: int = 2
) -> Call:
    """One pass of the selective scan with the strides that Vim's projections produce."""
    rank = dim // 32
    u = _meta(directions, batch, length, dim, dtype=dtype)
    _, B, C = _meta(directions, batch, length, rank + 2 * state, dtype=dtype).split((rank, state, state), -1)
    z = _meta(batch, length, 2 * dim, dtype=dtype)[..., dim:]
    A, D = _meta(directions, dim, state), _meta(directions, dim)
    given = ScanArguments(u, u, A, B, C, D, z, D, 0.5, True, False)
    grad = _meta(batch, length, dim, dtype=dtype)
    return lambda: launch.forward(given) if pass_ == "forward" else launch.backward(grad, given)


def biwkv_call(pass_: str, dtype: str, length: int = 4096) -> Call:
    """One pass of Bi-WKV; k and v are slices of one projection."""
    k, v, grad = _meta(2, length, 3 * CHANNELS, dtype=dtype).split(CHANNELS, -1)
    w = _meta(CHANNELS)
    return lambda: biwkv._forward(w, w, k, v) if pass_ == "forward" else biwkv._backward(grad, w, w, k, v)
