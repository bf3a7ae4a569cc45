"""Gradients of the three convolutions: that of x from one walk through all three, and parts of those of the taps."""

import triton
import triton.language as tl

from vigbench.ops.dilated_convs.kernels.planes import branch_row, load_shifted, load_taps, plane_products, tile_of
from vigbench.ops.kernel_math import zeros_row


@triton.jit
def _products(d_y, branch: tl.constexpr, plane, tile, taps):
    """`plane_products` of the gradient of a branch."""
    d_y += branch_row(tile, branch) * tile.volume
    centre = load_shifted(d_y, plane, (plane >= 0) & (plane < tile.depth), tile, 0, 0)
    return plane_products(d_y, plane, tile, centre, taps, branch + 1, True)


@triton.jit(do_not_specialize=["channels", "depth", "height", "width", "segment"])
def dilated_convs_input_gradient(
    d_y, weights, d_x, channels, depth, height, width, segment, block: tl.constexpr
):  # fmt: skip
    """The gradient of x, in a walk like the forward's; one row of planes waits. Grid as of `dilated_convs_forward`."""
    tile = tile_of(tl.program_id(0), channels, depth, height, width, segment, block)
    d_x += tile.row * tile.volume
    taps1, taps2, taps3 = load_taps(weights[0], tile), load_taps(weights[1], tile), load_taps(weights[2], tile)
    zero = zeros_row(block)
    a0, a1, a2, a3, a4, a5 = zero, zero, zero, zero, zero, zero
    for plane in range(tile.first - 3, tile.last + 3):
        ahead1, here, behind1 = _products(d_y, 0, plane, tile, taps1)
        ahead2, here2, behind2 = _products(d_y, 1, plane, tile, taps2)
        ahead3, here3, total = _products(d_y, 2, plane, tile, taps3)
        total += a0
        done = plane - 3
        mask = tile.inside & (done >= tile.first) & (done < tile.last)
        tl.store(d_x + done * tile.area + tile.voxel, total.to(d_x.dtype.element_ty), mask=mask)
        a0, a1, a2 = a1 + behind2, a2 + behind1, a3 + here + here2 + here3
        a3, a4, a5 = a4 + ahead1, a5 + ahead2, ahead3


@triton.jit
def _tap_sums(x, d_y, parts, branch: tl.constexpr, tile, block: tl.constexpr):
    """Sums over the tile of all planes: each plane of x at nine places, times the three of `d_y` that it is seen by."""
    dilation: tl.constexpr = branch + 1
    d_y += branch_row(tile, branch) * tile.volume
    sums = ()
    for _ in tl.static_range(27):
        sums += (zeros_row(block),)  # type: ignore[assignment]  # a tuple that grows
    for plane in range(tile.first, tile.last):
        ahead = load_shifted(d_y, plane + dilation, plane + dilation < tile.depth, tile, 0, 0)
        here = load_shifted(d_y, plane, plane >= 0, tile, 0, 0)
        behind = load_shifted(d_y, plane - dilation, plane >= dilation, tile, 0, 0)
        from_ahead, from_here, from_behind = (), (), ()
        for n in tl.static_range(9):
            seen = load_shifted(x, plane, plane >= 0, tile, (n // 3 - 1) * dilation, (n % 3 - 1) * dilation)
            from_ahead += (sums[n] + seen * ahead,)  # type: ignore[assignment]  # a tuple that grows
            from_here += (sums[n + 9] + seen * here,)  # type: ignore[assignment]  # a tuple that grows
            from_behind += (sums[n + 18] + seen * behind,)  # type: ignore[assignment]  # a tuple that grows
        sums = from_ahead + from_here + from_behind
    for n in tl.static_range(27):
        tl.store(parts + n, tl.sum(sums[n], 0))


@triton.jit(do_not_specialize=["channels", "depth", "height", "width", "segment"])
def dilated_convs_weight_gradient(
    x, d_y, parts, channels, depth, height, width, segment, block: tl.constexpr
):  # fmt: skip
    """Parts of the taps' gradients, (3, batch * parts, channels, 27) in float32. Grid: (as of the forward, 3)."""
    tile = tile_of(tl.program_id(0), channels, depth, height, width, segment, block)
    x += tile.row * tile.volume
    branch = tl.program_id(1)
    images = tl.num_programs(0) // tile.parts // channels
    own = ((branch * images + tile.image) * tile.parts + tile.part) * channels + tile.channel
    parts += own * 27
    if branch == 0:
        _tap_sums(x, d_y, parts, 0, tile, block)
    elif branch == 1:
        _tap_sums(x, d_y, parts, 1, tile, block)
    else:
        _tap_sums(x, d_y, parts, 2, tile, block)
