"""From tensors to launches: allocates states, outputs and gradients, and starts the kernels of each pass."""

from typing import Any

import torch
import triton
from torch import Tensor

from vigbench.ops import kernel_launch
from vigbench.ops.gla.kernels.tiles import view
from vigbench.ops.gla.kernels.walk_gradients import GlaInputs
from vigbench.ops.precision import refuse_float64
from vigbench.ops.product_tiles import SMALLEST_BLOCK
from vigbench.ops.scalar_gla.kernels.decays import gate_view
from vigbench.ops.scalar_gla.kernels.key_gradients import scalar_key_gradients
from vigbench.ops.scalar_gla.kernels.outputs import scalar_outputs
from vigbench.ops.scalar_gla.kernels.settings import ScalarSettings
from vigbench.ops.scalar_gla.kernels.states import scalar_states
from vigbench.ops.scalar_gla.kernels.variant import ScalarVariant


def forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    g_fwd: Tensor | None,
    g_bwd: Tensor | None,
    scale: float,
    settings: ScalarSettings,
) -> Tensor:
    """scale * (sum over the directions that there are), (batch, length, heads, value_dim), dtype of v."""
    refuse_float64(v, "use torch_chunk")
    out = torch.empty(v.shape, dtype=v.dtype, device=v.device)
    if out.numel() > 0:
        work = ScalarWork(q, v, g_fwd, g_bwd, settings)
        work.outputs(q, k, v, work.states(k, v, adjoint=False), out, scale, adjoint=False)
    return out


def backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    g_fwd: Tensor | None,
    g_bwd: Tensor | None,
    scale: float,
    settings: ScalarSettings,
) -> list[Tensor]:
    """Gradients of q, k and v, in their dtypes, and the parts of those of the log-decays, see `key_gradients`."""
    work = ScalarWork(q, v, g_fwd, g_bwd, settings)
    dv = torch.empty(v.shape, dtype=v.dtype, device=v.device)
    if dv.numel() == 0:
        return work.empty_gradients(q, k, dv)
    state_grads = work.states(q, grad, adjoint=True)
    work.outputs(k, q, grad, state_grads, dv, scale, adjoint=True)
    grads = work.empty_gradients(q, k, dv)
    work.key_gradients(grad, q, k, v, work.states(k, v, adjoint=False), state_grads, grads, scale)
    return grads


class ScalarWork:
    """The launches of one call: any values may be read with its queries, keys and decays, whatever states are given.

    States are (directions, batch, heads, chunks, key_dim, value_dim), the forward direction's first, contiguous.
    """

    def __init__(
        self, q: Tensor, v: Tensor, g_fwd: Tensor | None, g_bwd: Tensor | None, settings: ScalarSettings
    ) -> None:
        self.batch, self.length, self.groups, key_dim = q.shape
        heads, value_dim = v.shape[2:]
        self.settings, self.device, self.dtype = settings, v.device, v.dtype
        self.chunks = triton.cdiv(self.length, settings.chunk)
        key_block, value_block = min(settings.key_block, _block(key_dim)), min(settings.value_block, _block(value_dim))
        self.variant = ScalarVariant(
            key_dim=key_dim,
            value_dim=value_dim,
            key_block=key_block,
            key_blocks=triton.cdiv(key_dim, key_block),
            value_block=value_block,
            value_blocks=triton.cdiv(value_dim, value_block),
            chunk=settings.chunk,
            heads=heads,
            group=heads // self.groups,
            forward=g_fwd is not None,
            backward=g_bwd is not None,
        )
        gates = [gate_view(g) for g in (g_fwd, g_bwd) if g is not None]
        self.directions = len(gates)
        self.gates = (gates[0], gates[-1])

    def states(self, k: Tensor, v: Tensor, adjoint: bool) -> Tensor:
        """What enters each chunk; with `adjoint`, from q and the output's gradient, the gradient of what leaves it."""
        heads, tile = self.variant.heads, (self.variant.key_dim, self.variant.value_dim)
        states = self._empty((self.directions, self.batch, heads, self.chunks, *tile), self.dtype)
        programs = heads * self.variant.key_blocks * self.variant.value_blocks * self.directions
        self._start(
            scalar_states, (programs, self.batch, 1), self.settings.states_warps, self.settings.states_stages,
            view(k), view(v), *self.gates, states, self.length, adjoint=adjoint,
        )  # fmt: skip
        return states

    def outputs(
        self, q: Tensor, k: Tensor, v: Tensor, states: Tensor, out: Tensor, scale: float, adjoint: bool
    ) -> None:
        """What is read from the states; with `adjoint`, from their gradients, see `outputs.py`."""
        self._start(
            scalar_outputs, (self.variant.heads * self.variant.value_blocks, self.chunks, self.batch),
            self.settings.warps, self.settings.stages,
            view(q), view(k), view(v), *self.gates, states, view(out), self.length, self.variant.key_blocks, scale,
            adjoint=adjoint,
        )  # fmt: skip

    def empty_gradients(self, q: Tensor, k: Tensor, dv: Tensor) -> list[Tensor]:
        """Room for dq and dk, then dv, then room for the parts of each direction's gradient of log-decays.

        (key blocks, batch, length, heads) in float32, to be summed over the blocks.
        """
        dq, dk = (self._empty(tuple(x.shape), x.dtype) for x in (q, k))
        shape = (self.variant.key_blocks, self.batch, self.length, self.variant.heads)
        return [dq, dk, dv, *(self._empty(shape, torch.float32) for _ in range(self.directions))]

    def key_gradients(
        self, grad: Tensor, q: Tensor, k: Tensor, v: Tensor, states: Tensor, state_grads: Tensor, grads: list[Tensor],
        scale: float,
    ) -> None:  # fmt: skip
        """Fill the room for the gradients of q, k and the log-decays in `grads`, see `empty_gradients`."""
        dq, dk, _, *dgs = grads
        self._start(
            scalar_key_gradients, (self.groups * self.variant.key_blocks, self.chunks, self.batch),
            self.settings.warps, self.settings.stages,
            GlaInputs(view(q), view(k), view(v), view(grad)), *self.gates, states, state_grads, view(dq), view(dk),
            dgs[0], dgs[-1], self.length, 0 if self.variant.forward else 1, 2 if self.variant.backward else 1,
            self.variant.value_blocks, self.variant.group, scale,
        )  # fmt: skip

    def _start(
        self, kernel: Any, grid: tuple[int, int, int], warps: int, stages: int, *args: Any, **switches: Any
    ) -> None:
        constants = {"variant": self.variant, **switches}
        kernel_launch.launch_kernel(kernel, grid, self.device, args, constants, warps, stages)

    def _empty(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        return torch.empty(shape, dtype=dtype, device=self.device)


def _block(dim: int) -> int:
    return max(SMALLEST_BLOCK, int(triton.next_power_of_2(dim)))
