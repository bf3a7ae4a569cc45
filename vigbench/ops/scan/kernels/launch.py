"""From tensors to launches: allocates states, outputs and gradients, and starts the kernels of each pass."""

from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor

from vigbench.ops import kernel_launch
from vigbench.ops.launch_plan import planned
from vigbench.ops.precision import refuse_float64
from vigbench.ops.scan.cut import Cut, cut_of
from vigbench.ops.scan.kernels.gradients import Gradients, scan_gradients
from vigbench.ops.scan.kernels.inputs import Inputs, ScanVariant, ScanView, view
from vigbench.ops.scan.kernels.outputs import scan_outputs
from vigbench.ops.scan.kernels.pieces import scan_carry, scan_states
from vigbench.ops.scan.kernels.states import ScanStates, carry_states
from vigbench.ops.scan.kernels.states import scan_states as old_states
from vigbench.ops.scan.operator import ScanArguments


class ScanSettings(NamedTuple):
    """How one pass is launched.

    Attributes:
        chunk: tokens handled at once, a power of two.
        elements: states of all tokens of a chunk that a program holds: it takes as many channels as that allows.
        segment: chunks that one program takes one after another for the states.
        warps: of every kernel.
    """

    chunk: int
    elements: int
    segment: int
    warps: int


FORWARD = ScanSettings(chunk=32, elements=8192, segment=8, warps=8)
# for more states than Vim's: with larger chunks registers spill
FORWARD_WIDE = ScanSettings(chunk=16, elements=4096, segment=16, warps=8)
BACKWARD = ScanSettings(chunk=16, elements=4096, segment=16, warps=8)
VIM_STATES = 16
LARGEST_DIM_BLOCK = 16  # channels in half precision fill a sector of memory; with few states more would spill


class WalkSettings(NamedTuple):
    """How one pass is launched: `elements` states of all tokens of a chunk for a warp of `dim_block` channels."""

    elements: int
    dim_block: int


WALK = WalkSettings(elements=1024, dim_block=16)


def forward(given: ScanArguments, cut: Cut | None = None, settings: WalkSettings = WALK) -> Tensor:
    """scale * silu(z) * (sum over the directions), (batch, length, dim), dtype of u."""
    refuse_float64(given.u, "use torch_chunk")
    return _planned_forward(*given, cut or cut_of(*given.u.shape), settings)


@planned
def _planned_forward(*inputs: Any) -> Tensor:
    *arguments, cut, settings = inputs
    given = ScanArguments(*arguments)
    out = torch.empty(given.u.shape[1:], dtype=given.u.dtype, device=given.u.device)
    if out.numel() == 0:
        return out
    walk = _Walk(given, cut, settings)
    states = walk.states()
    for phase in range(cut.phases):
        walk.start(
            scan_outputs, cut.segments, walk.inputs, states, view(out[None]), *walk.sizes, given.scale, phase=phase
        )
    return out


class _Walk:
    """Sizes of one call, and what its kernels share."""

    def __init__(self, given: ScanArguments, cut: Cut, settings: WalkSettings) -> None:
        directions, self.batch, length, dim = given.u.shape
        self.cut, self.device = cut, given.u.device
        self.sizes = (length, cut.segments, cut.tokens)
        state = given.A.shape[-1]
        state_block = int(triton.next_power_of_2(state))
        dim_block = min(settings.dim_block, int(triton.next_power_of_2(dim)))
        self.programs = triton.cdiv(dim, dim_block) * directions
        self.variant = ScanVariant(
            dim=dim,
            state=state,
            dim_block=dim_block,
            state_block=state_block,
            chunk=min(LARGEST_CHUNK, max(1, settings.elements // (state_block * dim_block))),
            softplus=given.softplus,
            has_skip=given.D is not None,
            has_z=given.z is not None,
            has_bias=given.delta_bias is not None,
            forward=directions == 2 or not given.reverse,
            backward=directions == 2 or given.reverse,
            segmented=cut.segmented,
        )
        u = view(given.u)
        A = given.A.contiguous()
        self.inputs = Inputs(
            u,
            view(given.delta),
            A,
            view(given.B),
            view(given.C),
            A if given.D is None else given.D.contiguous(),
            u if given.z is None else view(given.z[None]),
            A if given.delta_bias is None else given.delta_bias.contiguous(),
        )
        self.pieces = (directions, self.batch, cut.phases * cut.segments)

    def states(self) -> Tensor:
        """What enters each piece, (directions, batch, pieces, state, dim), as far as it is known before a walk."""
        tile = (self.variant.state, self.variant.dim)
        states = self.empty(*self.pieces, *tile)
        if self.cut.segmented:
            ends, steps = self.empty(*self.pieces, *tile), self.empty(*self.pieces, self.variant.dim)
            self.start(scan_states, self.pieces[-1], self.inputs, ends, steps, *self.sizes)
            self.start(scan_carry, 1, self.inputs, states, ends, steps, self.cut.segments)
        return states

    def start(self, kernel: Any, pieces: int, *args: Any, **switches: int) -> None:
        """Launch on the tensors' device, for all channels and sequences."""
        constants = {"variant": self.variant, **switches}
        kernel_launch.launch_kernel(kernel, (self.programs, pieces, self.batch), self.device, args, constants, 1, 1)

    def empty(self, *shape: int) -> Tensor:
        """A float32 tensor."""
        return torch.empty(shape, dtype=torch.float32, device=self.device)


LARGEST_CHUNK = 16


def backward(grad: Tensor, given: ScanArguments, settings: ScanSettings = BACKWARD) -> list[Tensor]:
    """Gradients of the tensors given, in their order and dtypes."""
    refuse_float64(given.u, "use torch_chunk")
    if given.u.numel() == 0:
        weights = [None if x is None else torch.zeros_like(x) for x in (given.A, given.D, given.delta_bias)]
        tokens = [None if x is None else x.new_empty(x.shape) for x in (*given[:2], *given[3:5], given.z)]
        d_u, d_delta, d_B, d_C, d_z = tokens
        return given.gradients(d_u, d_delta, weights[0], d_B, d_C, weights[1], d_z, weights[2])
    d_u, d_delta, d_A, d_D, d_bias, by_block_B, by_block_C, *gate = _planned_backward(grad, settings, *given)
    directions = given.u.shape[0]
    d_B, d_C = (x.unflatten(0, (-1, directions)).sum(0) for x in (by_block_B, by_block_C))
    d_z = gate[0] if gate else None
    return given.gradients(d_u, d_delta, d_A.sum(0), d_B, d_C, d_D.sum(0), d_z, d_bias.sum(0))


@planned
def _planned_backward(grad: Tensor, settings: ScanSettings, *inputs: Any) -> list[Tensor]:
    """Gradients of u and delta, parts of those of A, D and delta_bias, of B and C, and that of z where there is one.

    Parts are float32: of A (parts, directions, dim, state), the next two without states, the last two of
    (blocks * directions, batch, length, state).
    """
    given = ScanArguments(*inputs)
    d_u, d_delta = (torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in (given.u, given.delta))
    d_z = None if given.z is None else torch.empty(given.z.shape, dtype=given.z.dtype, device=given.z.device)
    work = _Work(given, settings)
    incoming = view(grad[None])
    states, adjoints = work.states(incoming, adjoint=False), work.states(incoming, adjoint=True)
    directions, state = given.u.shape[0], given.A.shape[-1]
    by_block = [work.empty(work.blocks * directions, work.batch, work.length, state) for _ in range(2)]
    parts = (work.batch * work.chunks, directions, work.variant.dim)
    d_A, d_D, d_bias = work.empty(*parts, state), work.empty(*parts), work.empty(*parts)
    grads = Gradients(
        view(d_u), view(d_delta), d_A, view(by_block[0]), view(by_block[1]), d_D,
        incoming if d_z is None else view(d_z[None]), d_bias,
    )  # fmt: skip
    work.start(
        scan_gradients, (work.blocks, work.chunks, work.batch),
        work.inputs, incoming, states, adjoints, grads, work.length, work.segment, given.scale,
    )  # fmt: skip
    return [d_u, d_delta, d_A, d_D, d_bias, *by_block, *(() if d_z is None else (d_z,))]


class _Work:
    """Sizes of one call, and what its kernels share."""

    def __init__(self, given: ScanArguments, settings: ScanSettings) -> None:
        self.directions, self.batch, self.length, dim = given.u.shape
        self.settings, self.device, self.scale = settings, given.u.device, given.scale
        state = given.A.shape[-1]
        state_block = int(triton.next_power_of_2(state))
        fitting = max(1, settings.elements // (settings.chunk * state_block))
        dim_block = min(fitting, LARGEST_DIM_BLOCK, int(triton.next_power_of_2(dim)))
        self.blocks = triton.cdiv(dim, dim_block)
        self.chunks = triton.cdiv(self.length, settings.chunk)
        self.segment = min(settings.segment, self.chunks)
        self.segments = triton.cdiv(self.chunks, self.segment)
        self.variant = ScanVariant(
            dim=dim,
            state=state,
            dim_block=dim_block,
            state_block=state_block,
            chunk=settings.chunk,
            softplus=given.softplus,
            has_skip=given.D is not None,
            has_z=given.z is not None,
            has_bias=given.delta_bias is not None,
            forward=self.directions == 2 or not given.reverse,
            backward=self.directions == 2 or given.reverse,
            segmented=self.segments > 1,
        )
        u = view(given.u)
        A = given.A.contiguous()
        self.inputs = Inputs(
            u,
            view(given.delta),
            A,
            view(given.B),
            view(given.C),
            A if given.D is None else given.D.contiguous(),
            u if given.z is None else view(given.z[None]),
            A if given.delta_bias is None else given.delta_bias.contiguous(),
        )

    def states(self, grad: ScanView, adjoint: bool) -> ScanStates:
        """What enters each chunk, or the gradient of what leaves it."""
        lead, tile = (self.directions, self.batch), (self.variant.dim, self.variant.state)
        chunks = self.empty(*lead, self.chunks, *tile)
        states, ends, end_steps = ScanStates(chunks, chunks, chunks), chunks, chunks
        if self.variant.segmented:
            states = ScanStates(
                chunks,
                self.empty(*lead, self.chunks, self.variant.dim),
                self.empty(*lead, self.segments, *tile),
            )
            ends = self.empty(*lead, self.segments, *tile)
            end_steps = self.empty(*lead, self.segments, self.variant.dim)
        self.start(
            old_states, (self.blocks * self.directions, self.segments, self.batch),
            self.inputs, grad, states, ends, end_steps, self.length, self.segment, self.scale, adjoint=adjoint,
        )  # fmt: skip
        if self.variant.segmented:
            self.start(
                carry_states, (self.blocks, self.directions, self.batch),
                self.inputs, states, ends, end_steps, self.segments, adjoint=adjoint,
            )  # fmt: skip
        return states

    def start(self, kernel: Any, grid: tuple[int, int, int], *args: Any, **switches: bool) -> None:
        """Launch on the tensors' device."""
        constants = {"variant": self.variant, **switches}
        kernel_launch.launch_kernel(kernel, grid, self.device, args, constants, self.settings.warps, 1)

    def empty(self, *shape: int) -> Tensor:
        """A float32 tensor."""
        return torch.empty(shape, dtype=torch.float32, device=self.device)
