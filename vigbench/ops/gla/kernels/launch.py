"""From tensors to launches: allocates states, outputs and gradients, and starts the kernels of each pass."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor

from vigbench.ops import kernel_launch
from vigbench.ops.gla.kernels.gates import LOG_DECAY, LOW_RANK, Gate
from vigbench.ops.gla.kernels.key_gradients import chunk_key_gradients
from vigbench.ops.gla.kernels.outputs import chunk_outputs
from vigbench.ops.gla.kernels.settings import GlaSettings, Pass
from vigbench.ops.gla.kernels.states import GlaStates, carry_states, chunk_states
from vigbench.ops.gla.kernels.tiles import view
from vigbench.ops.gla.kernels.variant import GlaVariant
from vigbench.ops.gla.kernels.walk import add_beside, walk_outputs
from vigbench.ops.gla.kernels.walk_gradients import GlaGradients, GlaInputs, walk_gradients
from vigbench.ops.precision import refuse_float64

# Sum of log-decays of a chunk down to which factored exponentials are used. float32: rounding grows with it. float16:
# a factor exp(half of it) has to fit. bfloat16 has the range of float32.
MILD = {torch.float32: 16.0, torch.float16: 14.0, torch.bfloat16: 80.0}
SUMMED = 2048  # elements of a program that sums the directions' outputs
SMALLEST_BLOCK = 16  # a side of the smallest tensor-core product


class Gates(NamedTuple):
    """Where log-decays come from: tensors of each direction there is, and how to read them (`gates.py`)."""

    kind: str
    forward: Gate | None
    backward: Gate | None


def log_decay_gates(
    g_fwd: Tensor | None, g_bwd: Tensor | None, kind: str = LOG_DECAY, normalizer: float = 1.0
) -> Gates:
    """Log-decays, or with `kind` LOGITS the logits of logsigmoid(x) / normalizer: (batch, length, heads, key_dim)."""
    forward, backward = (None if g is None else Gate(view(g), view(g), view(g), normalizer) for g in (g_fwd, g_bwd))
    return Gates(kind, forward, backward)


def low_rank_gates(a: Tensor, weight: Tensor, bias: Tensor, normalizer: float) -> Gates:
    """Logits a @ weight^T + bias of both directions.

    a is (batch, length, rank), weight (2, heads, key_dim, rank), bias (2, heads, key_dim): forward first.
    """
    activations = view(a.unsqueeze(2))._replace(head=0)
    forward, backward = (
        Gate(activations, view(w.transpose(0, 1)[None]), view(b[None, None]), normalizer)
        for w, b in zip(weight, bias, strict=True)
    )
    return Gates(LOW_RANK, forward, backward)


def forward(q: Tensor, k: Tensor, v: Tensor, gates: Gates, scale: float, settings: GlaSettings) -> Tensor:
    """scale * (sum over the directions that `gates` has), (batch, length, heads, value_dim), dtype of v."""
    refuse_float64(v, "use torch_chunk")
    out = torch.empty(v.shape, dtype=v.dtype, device=v.device)
    if out.numel() == 0:
        return out
    work = _Work(q, v, gates, settings, "forward")
    if settings.walk:
        work.walk(q, k, v, out, scale)
    else:
        work.outputs(q, k, v, work.states(k, v, adjoint=False), out, scale, adjoint=False)
    return out


def backward(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, gates: Gates, scale: float, settings: GlaSettings
) -> list[Tensor]:
    """Gradients of q, k, v and of the log-decays or logits of each direction there is, in the dtypes of the inputs.

    With low-rank gates the last one is that of the logits, (batch, length, 2, heads, key_dim).
    """
    shape = q.shape
    present = [gate for gate in (gates.forward, gates.backward) if gate is not None]
    grads = [torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in (q, k, v)]
    if gates.kind == LOW_RANK:  # one tensor, as one matrix product takes it on
        both = torch.empty(*shape[:2], len(present), *shape[2:], dtype=present[0].x.data.dtype, device=q.device)
        gate_grads, returned = both.unbind(2), [*grads, both]
    else:
        gate_grads = tuple(torch.empty(shape, dtype=gate.x.data.dtype, device=q.device) for gate in present)
        returned = [*grads, *gate_grads]
    if v.numel() == 0:
        return returned
    work = _Work(q, v, gates, settings, "backward")
    if settings.walk:
        work.walk_back(grad, q, k, v, grads, gate_grads, scale)
        return returned
    states = work.states(k, v, adjoint=False)
    state_grads = work.states(q, grad, adjoint=True)
    work.outputs(k, q, grad, state_grads, grads[2], scale, adjoint=True)
    work.start(
        chunk_key_gradients,
        (work.heads * work.variant.key_blocks, work.chunks, work.batch),
        settings.warps,
        settings.stages,
        view(q), view(k), view(v), *work.gates, view(grad), states, state_grads,
        view(grads[0]), view(grads[1]), view(gate_grads[0]), view(gate_grads[-1]), work.length, work.segment,
        0 if gates.forward else 1, 2 if gates.backward else 1, scale,
    )  # fmt: skip
    return returned


class _Work:
    """Sizes of one call, and what its kernels share."""

    def __init__(self, q: Tensor, v: Tensor, gates: Gates, settings: GlaSettings, pass_: Pass) -> None:
        self.batch, self.length, self.heads, key_dim = q.shape
        self.settings = settings
        self.chunks = triton.cdiv(self.length, settings.chunk)
        self.segment = min(settings.segment, self.chunks)
        self.segments = triton.cdiv(self.chunks, self.segment)
        either = gates.forward or gates.backward
        assert either is not None
        self.gates = (gates.forward or either, gates.backward or either)
        value_dim = v.shape[-1]
        key_block, value_block = min(settings.key_block, _block(key_dim)), min(settings.value_block, _block(value_dim))
        if settings.walk:  # a state is in one program's registers, and gradients need all of it
            key_block = _block(key_dim)
            value_block = _block(value_dim) if pass_ == "backward" else value_block
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
            rank=rank,
            rank_block=_block(rank),
            forward=gates.forward is not None,
            backward=gates.backward is not None,
            segmented=self.segments > 1,
            mild=MILD[v.dtype] * math.log2(math.e),
        )
        self.state_tiles = self.heads * self.variant.key_blocks * self.variant.value_blocks
        self.device, self.dtype = v.device, v.dtype

    def states(self, k: Tensor, v: Tensor, adjoint: bool, ends_only: bool = False) -> GlaStates:
        """What enters each chunk; with `adjoint`, from q and the output's gradient, the gradient of what leaves it.

        With `ends_only` what enters each segment, and of chunks nothing.
        """
        variant, settings = self.variant, self.settings
        directions = variant.forward + variant.backward
        lead = (directions, self.batch, self.heads)
        tile = (variant.key_dim, variant.value_dim)
        chunks = self._empty((*lead, 0 if ends_only else self.chunks, *tile), self.dtype)
        states, ends, end_decays = GlaStates(chunks, chunks, chunks), chunks, chunks
        if variant.segmented:
            decays = self._empty((*lead, 0 if ends_only else self.chunks, variant.key_dim), torch.float32)
            states = GlaStates(chunks, decays, self._empty((*lead, self.segments, *tile), self.dtype))
            ends = self._empty((*lead, self.segments, *tile), torch.float32)
            end_decays = self._empty((*lead, self.segments, variant.key_dim), torch.float32)
        self.start(
            chunk_states,
            (self.state_tiles * directions, self.segments, self.batch),
            settings.states_warps,
            settings.states_stages,
            view(k), view(v), *self.gates, states, ends, end_decays, self.length, self.segment,
            adjoint=adjoint, ends_only=ends_only,
        )  # fmt: skip
        if variant.segmented:
            self.start(
                carry_states,
                (self.state_tiles, directions, self.batch),
                settings.states_warps,
                settings.states_stages,
                states, ends, end_decays, self.segments, adjoint=adjoint,
            )  # fmt: skip
        return states

    def walk(self, q: Tensor, k: Tensor, v: Tensor, out: Tensor, scale: float) -> None:
        """Outputs by one walk, or by a first one for what enters each segment and this."""
        segments = self.states(k, v, adjoint=False, ends_only=True).segments if self.variant.segmented else q
        directions = self.variant.forward + self.variant.backward
        beside = self._empty(tuple(out.shape), self.dtype) if directions == 2 else out
        self.start(
            walk_outputs,
            (self.heads * self.variant.value_blocks * directions, self.segments, self.batch),
            self.settings.warps,
            self.settings.stages,
            view(q), view(k), view(v), *self.gates, segments, view(out), view(beside), self.length, self.segment, scale,
        )  # fmt: skip
        if directions == 2:
            self.add(out, beside)

    def walk_back(
        self, grad: Tensor, q: Tensor, k: Tensor, v: Tensor, grads: list[Tensor], gates: Sequence[Tensor], scale: float
    ) -> None:
        """Gradients of q, k, v (`grads`) and of log-decays or logits of each direction (`gates`) by one walk each."""
        states = self.states(k, v, adjoint=False)
        segmented, directions = self.variant.segmented, self.variant.forward + self.variant.backward
        ends = self.states(q, grad, adjoint=True, ends_only=True).segments if segmented else q
        beside = [self._empty(tuple(x.shape), x.dtype) for x in grads] if directions == 2 else grads
        self.start(
            walk_gradients,
            (self.heads * directions, self.segments, self.batch),
            self.settings.warps,
            self.settings.stages,
            GlaInputs(view(q), view(k), view(v), view(grad)), *self.gates, states, ends,
            self.gradients(grads, gates[0]), self.gradients(beside, gates[-1]),
            self.length, self.segment, scale,
        )  # fmt: skip
        if directions == 2:
            for one, other in zip(grads, beside, strict=True):
                self.add(one, other)

    def gradients(self, grads: list[Tensor], gate: Tensor) -> GlaGradients:
        """Of q, k, v and a direction's gate as kernels take them."""
        q, k, v = grads
        return GlaGradients(view(q), view(k), view(v), view(gate))

    def add(self, out: Tensor, beside: Tensor) -> None:
        """The backward direction's part to the forward one's."""
        grid = (triton.cdiv(out.numel(), SUMMED), 1, 1)
        args = (out, beside, out.numel())
        kernel_launch.launch_kernel(add_beside, grid, self.device, args, {"block": SUMMED}, 4, 1)

    def outputs(
        self, q: Tensor, k: Tensor, v: Tensor, states: GlaStates, out: Tensor, scale: float, adjoint: bool
    ) -> None:
        """What is read from the states; with `adjoint`, from their gradients, see `outputs.py`."""
        self.start(
            chunk_outputs,
            (self.heads * self.variant.value_blocks, self.chunks, self.batch),
            self.settings.warps,
            self.settings.stages,
            view(q), view(k), view(v), *self.gates, states, view(out), self.length, self.segment, scale,
            adjoint=adjoint,
        )  # fmt: skip

    def start(
        self, kernel: Any, grid: tuple[int, int, int], warps: int, stages: int, *args: Any, **switches: bool
    ) -> None:
        """Launch on the tensors' device."""
        constants = {"heads": self.heads, "variant": self.variant, **switches}
        kernel_launch.launch_kernel(kernel, grid, self.device, args, constants, warps, stages)

    def _empty(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        return torch.empty(shape, dtype=dtype, device=self.device)


def _block(dim: int) -> int:
    return max(SMALLEST_BLOCK, int(triton.next_power_of_2(dim)))
