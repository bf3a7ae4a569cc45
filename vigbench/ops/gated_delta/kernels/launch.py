"""From tensors to launches: allocates what kernels leave for each other, and starts them pass by pass."""

from typing import Any

import torch
import triton
from torch import Tensor

from vigbench.ops import kernel_launch
from vigbench.ops.gated_delta.kernels.gradients import DeltaGradients, DeltaInputs, delta_gradients
from vigbench.ops.gated_delta.kernels.outputs import delta_outputs, written_gradients
from vigbench.ops.gated_delta.kernels.places import DeltaGatePair, DeltaWork
from vigbench.ops.gated_delta.kernels.states import delta_state_gradients, delta_states
from vigbench.ops.gated_delta.kernels.systems import chunk_systems
from vigbench.ops.gated_delta.kernels.variant import DeltaSettings, DeltaVariant
from vigbench.ops.gated_delta.operator import DeltaGates
from vigbench.ops.gla.kernels.tiles import view

SMALLEST_BLOCK = 16  # a side of the smallest tensor-core product
MOST_KEYS = 256  # of a state that one program keeps in registers


def forward(
    q: Tensor, k: Tensor, v: Tensor, directions: list[DeltaGates], scale: float, settings: DeltaSettings
) -> Tensor:
    """scale * (sum over the directions), (batch, length, heads, value_dim), dtype of v."""
    out = torch.empty(v.shape, dtype=v.dtype, device=v.device)
    if out.numel() == 0:
        return out
    calls = _Calls(q, v, directions, settings, gradients=False)
    calls.states(k, v)
    given = (view(q), view(k), calls.g, calls.work, view(out), calls.variant.key_blocks)
    calls.one_by_one(delta_outputs, calls.heads * calls.variant.value_blocks, given, scale)
    return out


def backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    directions: list[DeltaGates],
    scale: float,
    settings: DeltaSettings,
) -> list[Tensor]:
    """Gradients of q, k, v, then of each direction's log-decays, then of its strengths, in the dtypes of the inputs."""
    like = [q, k, v, *(d.g for d in directions), *(d.beta for d in directions)]
    grads = [torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in like]
    if v.numel() == 0:
        return grads
    calls = _Calls(q, v, directions, settings, gradients=True)
    calls.states(k, v)
    walks = calls.variant.value_blocks * calls.heads * calls.directions
    x = DeltaInputs(view(q), view(k), view(v), calls.g, calls.beta, view(grad))
    calls.start(written_gradients, walks, calls.chunks, x.q, x.k, calls.g, x.grad, calls.work, *calls.walked)
    calls.start(delta_state_gradients, walks, 1, x.q, x.k, x.grad, calls.work, *calls.walked)
    d_gates, d_strengths = grads[3 : 3 + calls.directions], grads[3 + calls.directions :]
    dq, dk, dv = (view(one) for one in grads[:3])
    to = DeltaGradients(dq, dk, dv, _pair(d_gates), _pair(d_strengths))
    given = (x, calls.work, to, calls.variant.key_blocks, calls.variant.value_blocks)
    calls.one_by_one(delta_gradients, calls.heads, given, scale)
    return grads


class _Calls:
    """Sizes of one call, and what its kernels share."""

    def __init__(
        self, q: Tensor, v: Tensor, directions: list[DeltaGates], settings: DeltaSettings, gradients: bool
    ) -> None:
        self.batch, self.length, self.heads, key_dim = q.shape
        self.settings, self.device, self.gradients = settings, v.device, gradients
        self.chunks = triton.cdiv(self.length, settings.chunk)
        self.directions, self.first = len(directions), int(directions[0].reverse)
        self.walked = (self.length, self.first)
        self.g, self.beta = _pair([d.g for d in directions]), _pair([d.beta for d in directions])
        value_dim, all_keys = v.shape[-1], _block(key_dim)
        key_block, value_block = min(settings.key_block, all_keys), min(settings.value_block, _block(value_dim))
        self.variant = DeltaVariant(
            key_dim=key_dim,
            value_dim=value_dim,
            all_keys=all_keys,
            key_block=key_block,
            key_blocks=triton.cdiv(key_dim, key_block),
            value_block=value_block,
            value_blocks=triton.cdiv(value_dim, value_block),
            chunk=settings.chunk,
        )
        size, half = settings.chunk, v.dtype
        w, u, states = (size, key_dim), (size, value_dim), (key_dim, value_dim)
        tile, row = self._empty(u, half), self._empty((size,), torch.float32)
        self.work = DeltaWork(
            w=self._empty(w, half),
            u=tile,
            inverse=self._empty((size, size), half) if gradients else tile,
            arrive=row,
            leave=self._empty((size,), torch.float32),
            states=self._empty(states, half),
            du=self._empty(u, half) if gradients else tile,
            state_grads=self._empty(states, half) if gradients else tile,
        )

    def states(self, k: Tensor, v: Tensor) -> None:
        """Passes 1 and 2: the states that enter chunks, and what tokens write."""
        k_, v_ = view(k), view(v)
        self.start(
            chunk_systems,
            self.heads * self.directions,
            self.chunks,
            k_, v_, self.g, self.beta, self.work, *self.walked, keeps_inverse=self.gradients,
        )  # fmt: skip
        walks = self.variant.value_blocks * self.heads * self.directions
        self.start(delta_states, walks, 1, k_, self.work, *self.walked)

    def one_by_one(self, kernel: Any, programs: int, given: tuple[Any, ...], scale: float) -> None:
        """A launch for each direction: the second one adds to what is there."""
        for n in range(self.directions):
            self.start(kernel, programs, self.chunks, *given, self.length, scale, n, self.first + n, adds=n > 0)

    def start(self, kernel: Any, programs: int, chunks: int, *args: Any, **switches: Any) -> None:
        """Launch on the tensors' device."""
        constants = {"heads": self.heads, "variant": self.variant, **switches}
        grid = (programs, chunks, self.batch)
        settings = self.settings
        kernel_launch.launch_kernel(kernel, grid, self.device, args, constants, settings.warps, settings.stages)

    def _empty(self, tile: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """A tile for each chunk of each direction, sequence and head."""
        shape = (self.directions, self.batch, self.heads, self.chunks, *tile)
        return torch.empty(shape, dtype=dtype, device=self.device)


def _pair(tensors: list[Tensor]) -> DeltaGatePair:
    return DeltaGatePair(tensors[0], tensors[-1])


def _block(dim: int) -> int:
    return max(SMALLEST_BLOCK, int(triton.next_power_of_2(dim)))
