"""From tensors to launches: allocates states, outputs and gradients, and starts the kernels of each pass."""

from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor

from vigbench.ops import kernel_launch
from vigbench.ops.launch_plan import planned
from vigbench.ops.precision import refuse_float64
from vigbench.ops.scan.cut import LANE_CHANNELS, Cut, cut_of
from vigbench.ops.scan.kernels.gradients import Gradients, scan_gradients
from vigbench.ops.scan.kernels.inputs import Inputs, ScanVariant, ScanView, view
from vigbench.ops.scan.kernels.outputs import scan_outputs
from vigbench.ops.scan.kernels.states import scan_carry, scan_states
from vigbench.ops.scan.operator import ScanArguments

LARGEST_CHUNK = 4  # tokens: with more registers spill
VIM_STATES = 16


class ScanSettings(NamedTuple):
    """How one pass is launched: programs are single warps.

    Attributes:
        elements: states of all tokens of a chunk and a block that a warp holds.
        dim_block: channels of a block.
        blocks: of channels that a program takes one after another; 1 but for gradients.
    """

    elements: int
    dim_block: int
    blocks: int


FORWARD = ScanSettings(elements=1024, dim_block=LANE_CHANNELS, blocks=1)
BACKWARD = ScanSettings(elements=512, dim_block=8, blocks=2)  # blocks add up what B and C get, lane by lane
BACKWARD_WIDE = BACKWARD._replace(blocks=1)  # for more states than Vim's


def forward(given: ScanArguments, cut: Cut | None = None, settings: ScanSettings = FORWARD) -> Tensor:
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
    to = view(out[None])
    walk.outputs(to, walk.states(to, adjoint=False), to)
    return out


def backward(
    grad: Tensor, given: ScanArguments, cut: Cut | None = None, settings: ScanSettings | None = None
) -> list[Tensor]:
    """Gradients of the tensors given, in their order and dtypes."""
    refuse_float64(given.u, "use torch_chunk")
    if given.u.numel() == 0:
        weights = [None if x is None else torch.zeros_like(x) for x in (given.A, given.D, given.delta_bias)]
        tokens = [None if x is None else x.new_empty(x.shape) for x in (*given[:2], *given[3:5], given.z)]
        d_u, d_delta, d_B, d_C, d_z = tokens
        return given.gradients(d_u, d_delta, weights[0], d_B, d_C, weights[1], d_z, weights[2])
    settings = settings or (BACKWARD if given.A.shape[-1] <= VIM_STATES else BACKWARD_WIDE)
    d_u, d_delta, d_A, d_D, d_bias, by_program, *gate = _planned_backward(
        grad, cut or cut_of(*given.u.shape), settings, *given
    )
    d_A, d_D, d_bias = (x.flatten(1, 2).sum(1) for x in (d_A, d_D, d_bias))
    d_B, d_C = (x.unflatten(0, (-1, given.u.shape[0])).sum(0) for x in by_program)
    return given.gradients(d_u, d_delta, d_A.mT, d_B, d_C, d_D, gate[0] if gate else None, d_bias)


@planned
def _planned_backward(grad: Tensor, cut: Cut, settings: ScanSettings, *inputs: Any) -> list[Tensor]:
    """Gradients of u and delta, parts of those of A, D and delta_bias, of B and C, and that of z where there is one.

    Parts are float32: of A (directions, batch, pieces, state, dim), the next two without states, the last of
    (2, programs * directions, batch, length, state).
    """
    given = ScanArguments(*inputs)
    d_u, d_delta = (torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in (given.u, given.delta))
    d_z = None if given.z is None else torch.empty(given.z.shape, dtype=given.z.dtype, device=given.z.device)
    walk, incoming = _Walk(given, cut, settings), view(grad[None])
    *_, length, dim = given.u.shape
    state, chunk = given.A.shape[-1], walk.variant.chunk
    before = _Walk(given, cut, FORWARD, chunk)
    entering = walk.empty(*walk.pieces, triton.cdiv(cut.tokens, chunk), state, dim)
    d_A, d_D, d_bias = (walk.empty(*walk.pieces, *tile) for tile in ((state, dim), (dim,), (dim,)))
    to_z = incoming if d_z is None else view(d_z[None])
    before.outputs(incoming, before.states(incoming, adjoint=False), to_z, (entering, d_D))
    adjoints = before.states(incoming, adjoint=True)
    by_program = walk.empty(2, walk.programs, walk.batch, length, state)
    to_B, to_C = (view(x) for x in by_program)
    grads = Gradients(view(d_u), view(d_delta), d_A, to_B, to_C, d_bias)
    for phase in reversed(range(cut.phases)):
        walk.start(
            scan_gradients, cut.segments,
            walk.inputs, incoming, entering, adjoints, grads, *walk.sizes, given.scale, phase * cut.segments,
        )  # fmt: skip
    return [d_u, d_delta, d_A, d_D, d_bias, by_program, *(() if d_z is None else (d_z,))]


class _Walk:
    """Sizes of one call, and what its kernels share."""

    def __init__(self, given: ScanArguments, cut: Cut, settings: ScanSettings, chunk: int | None = None) -> None:
        directions, self.batch, length, dim = given.u.shape
        self.cut, self.device, self.scale = cut, given.u.device, given.scale
        self.sizes = (length, cut.segments, cut.tokens)
        state = given.A.shape[-1]
        state_block = int(triton.next_power_of_2(state))
        dim_block = min(settings.dim_block, int(triton.next_power_of_2(dim)))
        blocks = min(settings.blocks, triton.cdiv(dim, dim_block))
        self.programs = triton.cdiv(dim, dim_block * blocks) * directions
        self.variant = ScanVariant(
            dim=dim,
            state=state,
            blocks=blocks,
            dim_block=dim_block,
            state_block=state_block,
            chunk=chunk or min(LARGEST_CHUNK, max(1, settings.elements // (state_block * dim_block))),
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

    def states(self, grad: ScanView, adjoint: bool) -> Tensor:
        """What enters each piece, (directions, batch, pieces, state, dim), as far as it is known before a walk.

        With `adjoint` it is the gradient of what leaves each piece.
        """
        tile = (self.variant.state, self.variant.dim)
        states = self.empty(*self.pieces, *tile)
        if self.cut.segmented:
            ends, steps = self.empty(*self.pieces, *tile), self.empty(*self.pieces, self.variant.dim)
            pieces = self.pieces[-1]
            self.start(scan_states, pieces, self.inputs, grad, ends, steps, *self.sizes, self.scale, adjoint=adjoint)
            self.start(scan_carry, 1, self.inputs, states, ends, steps, self.cut.segments, adjoint=adjoint)
        return states

    def outputs(self, grad: ScanView, states: Tensor, out: ScanView, kept: tuple[Tensor, ...] = ()) -> None:
        """Outputs from what enters each piece; with `kept`, which is filled, what the backward pass needs."""
        entering, d_skip = kept or (states, states)
        for phase in range(self.cut.phases):
            self.start(
                scan_outputs, self.cut.segments,
                self.inputs, grad, states, entering, out, d_skip, *self.sizes, self.scale,
                phase=phase, backward=bool(kept),
            )  # fmt: skip

    def start(self, kernel: Any, pieces: int, *args: Any, **switches: int) -> None:
        """Launch on the tensors' device, for all channels and sequences."""
        constants = {"variant": self.variant, **switches}
        kernel_launch.launch_kernel(kernel, (self.programs, pieces, self.batch), self.device, args, constants, 1, 1)

    def empty(self, *shape: int) -> Tensor:
        """A float32 tensor."""
        return torch.empty(shape, dtype=torch.float32, device=self.device)
