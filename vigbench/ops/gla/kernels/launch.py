"""From tensors to launches: allocates states, outputs and gradients, and starts the kernels of each pass."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor

from vigbench.ops import kernel_launch
from vigbench.ops.gla.kernels.features import Exponentials, Features, feature_view, given
from vigbench.ops.gla.kernels.gates import LOG_DECAY, LOW_RANK, REFINED, Gate, RefinedGate
from vigbench.ops.gla.kernels.key_gradients import chunk_key_gradients
from vigbench.ops.gla.kernels.outputs import chunk_outputs
from vigbench.ops.gla.kernels.settings import WARP_GROUP_ROWS, GlaSettings, Pass
from vigbench.ops.gla.kernels.states import GlaStates, Part, carry_states, chunk_states
from vigbench.ops.gla.kernels.tiles import GlaView, view
from vigbench.ops.gla.kernels.variant import GlaVariant
from vigbench.ops.gla.kernels.walk import walk_outputs
from vigbench.ops.gla.kernels.walk_gradients import GlaGradients, GlaInputs, walk_gradients
from vigbench.ops.precision import refuse_float64

# Sum of log-decays of a chunk down to which factored exponentials are used. float32: rounding grows with it. float16:
# a factor exp(half of it) has to fit. bfloat16 has the range of float32.
MILD = {torch.float32: 16.0, torch.float16: 14.0, torch.bfloat16: 80.0}
SMALLEST_BLOCK = 16  # a side of the smallest tensor-core product


class Gates(NamedTuple):
    """Where log-decays come from: tensors of each direction there is, and how to read them (`gates.py`)."""

    kind: str
    forward: Gate | RefinedGate | None
    backward: Gate | RefinedGate | None

    @property
    def present(self) -> list[Gate | RefinedGate]:
        """Of the directions that there are."""
        return [gate for gate in (self.forward, self.backward) if gate is not None]


def log_decay_gates(
    g_fwd: Tensor | None, g_bwd: Tensor | None, kind: str = LOG_DECAY, normalizer: float = 1.0
) -> Gates:
    """Log-decays, or with `kind` LOGITS the logits of logsigmoid(x) / normalizer: (batch, length, heads, key_dim)."""
    forward, backward = (None if g is None else Gate(view(g), view(g), view(g), normalizer) for g in (g_fwd, g_bwd))
    return Gates(kind, forward, backward)


def low_rank_gates(a: Tensor, weight: Tensor, bias: Tensor, normalizer: float, reverse: bool = False) -> Gates:
    """Logits a @ weight^T + bias of both directions, or of one: from the last token to the first if `reverse`.

    a is (batch, length, rank), weight (directions, heads, key_dim, rank), bias (directions, heads, key_dim): forward
    first.
    """
    activations = view(a.unsqueeze(2))._replace(head=0)
    gates = [
        Gate(activations, view(w.transpose(0, 1)[None]), view(b[None, None]), normalizer)
        for w, b in zip(weight, bias, strict=True)
    ]
    if len(gates) == 2:
        return Gates(LOW_RANK, *gates)
    return Gates(LOW_RANK, None, gates[0]) if reverse else Gates(LOW_RANK, gates[0], None)


def refined_gates(x_fwd: Tensor | None, y_fwd: Tensor | None, x_bwd: Tensor | None, y_bwd: Tensor | None) -> Gates:
    """Decays of two logits each, (batch, length, heads, key_dim), of the directions that there are."""
    pairs = ((x_fwd, y_fwd), (x_bwd, y_bwd))
    return Gates(REFINED, *(None if x is None or y is None else RefinedGate(view(x), view(y)) for x, y in pairs))


def forward(q: Features, k: Features, v: Tensor, gates: Gates, scale: float, settings: GlaSettings) -> Tensor:
    """scale * (sum over the directions that `gates` has), (batch, length, heads, value_dim), dtype of v."""
    refuse_float64(v, "use torch_chunk")
    out = torch.empty(v.shape, dtype=v.dtype, device=v.device)
    if out.numel() == 0:
        return out
    work = GlaWork(q, v, gates, settings, "forward")
    if settings.walk:
        work.walk(q, k, v, out, scale)
    else:
        work.outputs(q, k, v, work.states(k, v, adjoint=False), out, scale, adjoint=False)
    return out


def backward(
    grad: Tensor, q: Features, k: Features, v: Tensor, gates: Gates, scale: float, settings: GlaSettings
) -> list[Tensor]:
    """Gradients of q, k, v and of the log-decays or logits of each direction there is, in the dtypes of the inputs.

    With low-rank gates the last one is that of the logits, (batch, length, directions, heads, key_dim). With refined
    ones a direction has two. Those of exponentials lack the share of their maxima (`vigbench.ops.regla.kernels`).
    """
    grads = [torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in (given(q), given(k), v)]
    gate_grads, gate_views = _room_for_gates(given(q), gates)
    returned = [*grads, *gate_grads]
    if v.numel() == 0:
        return returned
    work = GlaWork(q, v, gates, settings, "backward")
    if settings.walk:
        work.walk_back(grad, q, k, v, grads, gate_views, scale)
        return returned
    states = work.states(k, v, adjoint=False)
    state_grads = work.states(q, grad, adjoint=True)
    work.outputs(k, q, grad, state_grads, grads[2], scale, adjoint=True)
    work.start(
        chunk_key_gradients,
        (work.heads * work.variant.key_blocks, work.chunks, work.batch),
        settings.warps,
        settings.stages,
        feature_view(q), feature_view(k), view(v), *work.gates, view(grad), states, state_grads,
        view(grads[0]), view(grads[1]), gate_views[0], gate_views[-1], work.length, work.segment,
        0 if gates.forward else 1, 2 if gates.backward else 1, scale,
    )  # fmt: skip
    return returned


def _room_for_gates(q: Tensor, gates: Gates) -> tuple[list[Tensor], list[GlaView | RefinedGate]]:
    """Empty gradients of what gates are computed from, as they are returned, and as kernels see each direction's."""
    shape, device = q.shape, q.device
    if gates.kind == LOW_RANK:  # one tensor, as one matrix product takes it on
        count, dtype = len(gates.present), gates.present[0].x.data.dtype
        both = torch.empty(*shape[:2], count, *shape[2:], dtype=dtype, device=device)
        return [both], [view(each) for each in both.unbind(2)]
    logits = [x.data for gate in gates.present for x in (gate if isinstance(gate, RefinedGate) else (gate.x,))]
    grads = [torch.empty(shape, dtype=x.dtype, device=device) for x in logits]
    views = [view(grad) for grad in grads]
    if gates.kind == REFINED:
        return grads, [RefinedGate(*views[n : n + 2]) for n in range(0, len(views), 2)]
    return grads, [*views]


class GlaWork:
    """Sizes of one call, and what its kernels share."""

    def __init__(self, q: Features, v: Tensor, gates: Gates, settings: GlaSettings, pass_: Pass) -> None:
        self.batch, self.length, self.heads, key_dim = given(q).shape
        self.settings = settings
        self.chunks = triton.cdiv(self.length, settings.chunk)
        self.directions = len(gates.present)
        self.phases = self.directions if settings.walk else 1
        self.segments = self.phases * triton.cdiv(self.chunks, self.phases * settings.segment)
        self.segment = triton.cdiv(self.chunks, self.segments)
        either = gates.present[0]
        self.gates = (gates.forward or either, gates.backward or either)
        value_dim = v.shape[-1]
        key_block, value_block = min(settings.key_block, _block(key_dim)), min(settings.value_block, _block(value_dim))
        whole = settings.walk and pass_ == "backward"  # gradients need all of a state
        if settings.walk:  # which is in one program's registers
            key_block = _block(key_dim)
            value_block = _block(value_dim) if whole else value_block
        rank = either.x.data.shape[-1] if gates.kind == LOW_RANK else SMALLEST_BLOCK
        self.variant = GlaVariant(
            key_dim=key_dim,
            value_dim=value_dim,
            key_block=key_block,
            key_blocks=triton.cdiv(key_dim, key_block),
            value_block=value_block,
            value_blocks=triton.cdiv(value_dim, value_block),
            chunk=settings.chunk,
            gate=gates.kind,
            exponential=isinstance(q, Exponentials),
            rank=rank,
            rank_block=_block(rank),
            forward=gates.forward is not None,
            backward=gates.backward is not None,
            # products of 64 rows are for warp groups, in chunks of as many tokens
            turned=not whole and (value_block < WARP_GROUP_ROWS or settings.chunk >= WARP_GROUP_ROWS),
            segmented=self.segments > self.phases,
            mild=MILD[v.dtype] * math.log2(math.e),
        )
        self.state_tiles = self.heads * self.variant.key_blocks * self.variant.value_blocks
        self.device, self.dtype = v.device, v.dtype

    def states(self, k: Features, v: Tensor, adjoint: bool) -> GlaStates:
        """What enters each chunk; with `adjoint`, from q and the output's gradient, the gradient of what leaves it."""
        chunks = self._state(self.chunks, self.dtype)
        if not self.variant.segmented:
            return self.fill(k, v, GlaStates(chunks, chunks, chunks), adjoint, "all")
        decays = self._empty(tuple(chunks.shape[:-1]), torch.float32)
        return self.fill(k, v, GlaStates(chunks, decays, self._state(self.segments, self.dtype)), adjoint, "all")

    def entering(self, k: Features, v: Tensor, adjoint: bool) -> Tensor:
        """For walks: what enters each segment, or, where each half is walked whole, room for what is handed over."""
        if not self.variant.segmented:
            return self._state(1, torch.float32)
        segments = self._state(self.segments, self.dtype)
        return self.fill(k, v, GlaStates(segments, segments, segments), adjoint, "ends").segments

    def entered(self, k: Features, v: Tensor) -> Tensor:
        """For walks: what enters each chunk, complete."""
        if not self.variant.segmented:
            return self.states(k, v, adjoint=False).chunks
        chunks = self._state(self.chunks, self.dtype)
        return self.fill(k, v, GlaStates(chunks, chunks, self.entering(k, v, False)), False, "entered").chunks

    def fill(self, k: Features, v: Tensor, states: GlaStates, adjoint: bool, part: Part) -> GlaStates:
        """Compute this part of `states`, see `chunk_states`."""
        segments = self.segments if self.variant.segmented else 1  # a whole walk's halves need no states of their own
        ends = end_decays = states.chunks
        carried = self.variant.segmented and part != "entered"
        if carried:
            ends = self._state(segments, torch.float32)
            end_decays = self._empty(tuple(ends.shape[:-1]), torch.float32)
        self.start(
            chunk_states,
            (self.state_tiles * self.directions, segments, self.batch),
            self.settings.states_warps,
            self.settings.states_stages,
            feature_view(k), view(v), *self.gates, states, ends, end_decays, self.length,
            triton.cdiv(self.chunks, segments), adjoint=adjoint, part=part,
        )  # fmt: skip
        if carried:
            self.start(
                carry_states,
                (self.state_tiles, self.directions, self.batch),
                self.settings.states_warps,
                self.settings.states_stages,
                states, ends, end_decays, segments, adjoint=adjoint,
            )  # fmt: skip
        return states

    def walk(self, q: Features, k: Features, v: Tensor, out: Tensor, scale: float) -> None:
        """Outputs by one walk, of segments once it is known what enters them."""
        self.phase_by_phase(
            walk_outputs,
            self.heads * self.variant.value_blocks,
            feature_view(q), feature_view(k), view(v), *self.gates, self.entering(k, v, False), view(out),
            self.length, self.segment, scale,
        )  # fmt: skip

    def walk_back(
        self,
        grad: Tensor,
        q: Features,
        k: Features,
        v: Tensor,
        grads: list[Tensor],
        gates: Sequence[GlaView | RefinedGate],
        scale: float,
    ) -> None:
        """Gradients of q, k, v (`grads`) and of log-decays or logits of each direction (`gates`) by one walk each."""
        dq, dk, dv = (view(x) for x in grads)
        self.phase_by_phase(
            walk_gradients,
            self.heads,
            GlaInputs(feature_view(q), feature_view(k), view(v), view(grad)), *self.gates, self.entered(k, v),
            self.entering(q, grad, True), GlaGradients(dq, dk, dv, gates[0]), gates[-1],
            self.length, self.segment, scale,
        )  # fmt: skip

    def phase_by_phase(self, kernel: Any, programs: int, *args: Any) -> None:
        """Launch a walk: each direction's first half, then its second."""
        for phase in range(self.phases):
            grid = (programs * self.directions, self.segments // self.phases, self.batch)
            self.start(kernel, grid, self.settings.warps, self.settings.stages, *args, phase=phase)

    def outputs(
        self, q: Features, k: Features, v: Tensor, states: GlaStates, out: Tensor, scale: float, adjoint: bool
    ) -> None:
        """What is read from the states; with `adjoint`, from their gradients, see `outputs.py`."""
        self.start(
            chunk_outputs,
            (self.heads * self.variant.value_blocks, self.chunks, self.batch),
            self.settings.warps,
            self.settings.stages,
            feature_view(q), feature_view(k), view(v), *self.gates, states, view(out), self.length, self.segment, scale,
            adjoint=adjoint,
        )  # fmt: skip

    def start(
        self, kernel: Any, grid: tuple[int, int, int], warps: int, stages: int, *args: Any, **switches: Any
    ) -> None:
        """Launch on the tensors' device."""
        constants = {"heads": self.heads, "variant": self.variant, **switches}
        kernel_launch.launch_kernel(kernel, grid, self.device, args, constants, warps, stages)

    def _state(self, count: int, dtype: torch.dtype) -> Tensor:
        """Room for as many states of each sequence and direction."""
        tile = (self.variant.key_dim, self.variant.value_dim)
        return self._empty((self.directions, self.batch, self.heads, count, *tile), dtype)

    def _empty(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        return torch.empty(shape, dtype=dtype, device=self.device)


def _block(dim: int) -> int:
    return max(SMALLEST_BLOCK, int(triton.next_power_of_2(dim)))
