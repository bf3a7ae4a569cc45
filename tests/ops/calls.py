"""One call of each operator's Triton kernels on tensors of the meta device, to be compiled and not run."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

import torch

from tests.ops.gla.compiling import capability_name
from vigbench.ops.biwkv import triton_fused as biwkv
from vigbench.ops.causal_conv import triton_fused as conv
from vigbench.ops.conv_norm import triton_fused as conv_norm
from vigbench.ops.dilated_convs import triton_fused as dilated_convs
from vigbench.ops.gated_delta import triton_fused as gated_delta
from vigbench.ops.gated_norm import triton_fused as gated_norm
from vigbench.ops.gated_projection import triton_fused as gated_projection
from vigbench.ops.gla import triton_recurrent
from vigbench.ops.gla.kernels import settings as gla_settings
from vigbench.ops.gsa import triton_fused as gsa
from vigbench.ops.norm_conv import triton_fused as norm_conv
from vigbench.ops.norm_swiglu import triton_fused as norm_swiglu
from vigbench.ops.norm_swiglu.settings import default_settings
from vigbench.ops.norm_swish_gate import triton_fused as norm_swish_gate
from vigbench.ops.regla import triton_fused as regla
from vigbench.ops.scalar_gla.kernels import launch as scalar_launch
from vigbench.ops.scalar_gla.kernels.settings import default_settings as scalar_settings
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


def regla_call(pass_: str, dtype: str, key_dim: int, value_dim: int) -> Call:
    """One pass of ReGLA in both directions, with the settings of a device that nobody has tuned for."""
    q, v = (_meta(2, 4096, 3, dim, dtype=dtype) for dim in (key_dim, value_dim))
    inputs = (q, q, v, q, q, q, q, 1.0)
    return lambda: regla._forward(*inputs) if pass_ == "forward" else regla._backward(v, *inputs)


def gated_delta_call(pass_: str, dtype: str, dims: tuple[int, int], capability: int | str, length: int = 4097) -> Call:
    """One pass of the gated delta rule in both directions: key and value channels, with that GPU's settings."""
    key_dim, value_dim = dims
    q, v = (_meta(2, length, 3, dim, dtype=dtype) for dim in (key_dim, value_dim))
    g = _meta(2, length, 3)
    given = (q, q, v, g, g, g, g, 1.0)

    def call() -> None:
        with patch.object(gated_delta, "capability_of", lambda _: capability_name(capability)):
            if pass_ == "forward":
                gated_delta._forward(*given)
            else:
                gated_delta._backward(v, *given)

    return call


def scalar_gla_call(
    pass_: str,
    dtype: str,
    dims: tuple[int, int],
    capability: int | str,
    directions: int = 2,
    groups: int = 4,
    length: int = 4097,
) -> Call:
    """One pass of linear attention with scalar decays, of 4 heads, with that GPU's settings."""
    q, v = _meta(2, length, groups, dims[0], dtype=dtype), _meta(2, length, 4, dims[1], dtype=dtype)
    g = _meta(2, length, 4)
    given = (q, q, v, g, g if directions == 2 else None, 1.0)

    def call() -> None:
        if pass_ == "forward":
            scalar_launch.forward(*given, scalar_settings(capability_name(capability), v.dtype, "forward"))
        else:
            scalar_launch.backward(v, *given, scalar_settings(capability_name(capability), v.dtype, "backward"))

    return call


def gsa_call(pass_: str, dtype: str, dims: tuple[int, int, int], capability: int | str) -> Call:
    """One pass of gated slot attention in one direction: key and value channels, slots, with that GPU's settings."""
    q, v, s = (_meta(2, 4097, 3, dim, dtype=dtype) for dim in dims)
    given = (q, q, v, s, None, s, None, 1.0)

    def call() -> None:
        with _settings_of(capability):
            if pass_ == "forward":
                gsa._forward(*given)
            else:
                gsa._backward(v, *given)

    return call


@contextmanager
def _settings_of(capability: int | str) -> Iterator[None]:
    """Inside, gated linear attention's settings for tensors without data are those of a GPU."""
    gla_settings.settings_for.cache_clear()
    with (
        patch.object(gla_settings, "capability_of", lambda _: capability_name(capability)),
        patch.object(gsa, "capability_of", lambda _: capability_name(capability)),
    ):
        yield
    gla_settings.settings_for.cache_clear()


def gated_norm_call(dtype: str, dim: int) -> Call:
    """The gated norm, both ways."""
    x, weight = _meta(2, 64, 3, dim, dtype=dtype), _meta(dim, dtype=dtype)

    def call() -> None:
        gated_norm._forward(x, x, x, weight, weight, 1e-6, True)
        gated_norm._backward(x, x, x, x, weight, weight, 1e-6, True)

    return call


def norm_swish_gate_call(dtype: str, dim: int) -> Call:
    """The norm and its gate, both ways."""
    x, weight = _meta(2, 64, 3, dim, dtype=dtype), _meta(dim, dtype=dtype)

    def call() -> None:
        norm_swish_gate._forward(x, x, weight, 1e-6)
        norm_swish_gate._backward(x, x, x, weight, 1e-6)

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


def stem_call(dtype: str, dim: int = 96) -> Call:
    """ViG's first convolution."""
    images, weight, row = _meta(2, 3, 224, 224, dtype=dtype), _meta(dim, 3, 9, 9, dtype=dtype), _meta(dim, dtype=dtype)
    return lambda: conv_norm._forward(images, weight, row, row, row, 8, 1, 1e-6, False)


def dilated_convs_call(dtype: str, shape: tuple[int, ...] = (2, 32, 48, 48, 48)) -> Call:
    """GLIMS' dilated convolutions, both ways."""
    batch, channels, *sides = shape
    x, y = _meta(*shape, dtype=dtype), _meta(batch, 3 * channels, *sides, dtype=dtype)
    weights, rows, slopes = ([_meta(*one, dtype=dtype)] * 3 for one in ((channels, 1, 3, 3, 3), (channels,), (1,)))

    def call() -> None:
        dilated_convs._forward(x, *weights, *rows, *rows, *rows, *slopes, 1e-5, True)
        dilated_convs._backward(y, y, _meta(batch * 3 * channels, 2), x, *weights, *rows, *rows, *slopes)

    return call


def norm_conv_call(dtype: str, dim: int, centred: bool = False) -> Call:
    """The start of a mixer, both ways."""
    x, row = _meta(2, 16, 16, dim, dtype=dtype), _meta(dim, dtype=dtype)
    given = (x, row, row if centred else None, _meta(dim, 1, 3, 3, dtype=dtype), 1e-6, True)

    def call() -> None:
        norm_conv._forward(*given)
        norm_conv._backward(x, *given)

    return call


def gated_projection_call(dtype: str, heads: int, head: int, dim: int) -> Call:
    """The end of a mixer; its gate is a slice of a projection."""
    o, rows = _meta(2, 256, heads, head, dtype=dtype), _meta(2, 256, dim, dtype=dtype)
    gate = _meta(2, 256, heads * head + 16, dtype=dtype)[..., 16:].unflatten(-1, (heads, head))
    norm, bias, weight = (_meta(*shape, dtype=dtype) for shape in ((head,), (heads * head,), (dim, heads * head)))
    return lambda: gated_projection._forward(o, o, gate, bias, norm, norm, weight, rows, 1e-6, True)


def mlp_call(dtype: str, dim: int, hidden: int, capability: int | str, centred: bool = False) -> Call:
    """The MLP of a block, forward, and the kernels of its backward that multiply nothing."""
    x, row = _meta(512, dim, dtype=dtype), _meta(dim, dtype=dtype)
    halves, active = _meta(512, 2 * hidden, dtype=dtype), _meta(512, hidden, dtype=dtype)
    up, down, bias = _meta(2 * hidden, dim, dtype=dtype), _meta(dim, hidden, dtype=dtype), row if centred else None
    settings = default_settings(capability_name(capability), x.dtype)

    def call() -> None:
        if norm_swiglu.is_narrow(dim, settings):
            norm_swiglu._whole(x, row, bias, up, down, 1e-6, True, settings)
        else:
            norm_swiglu._hidden(x, row, bias, up, down, 1e-6, settings)
        norm_swiglu._normal(x, row, bias, up, 1e-6)
        norm_swiglu._through_swiglu(halves, active)
        norm_swiglu._through_norm(x, x, x, row, centred, 1e-6, True)

    return call
