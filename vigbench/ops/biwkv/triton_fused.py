"""Bi-WKV in Triton, both directions in one pass: forward and backward (Vision-RWKV, arXiv 2403.02308).

Three launches forward: what each chunk adds for the others, the sums that so enter each chunk, outputs (kernels/). The
backward does the same once more with gradients in the place of values. One lane walks through the tokens of one
channel, a chunk's in its registers. Nothing is flipped or copied, nothing is added in an order that varies.
"""

from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor

from vigbench.ops import kernel_launch
from vigbench.ops.biwkv.cost import chunked_macs
from vigbench.ops.biwkv.kernels.gradients import wkv_gradient_states, wkv_gradients
from vigbench.ops.biwkv.kernels.outputs import wkv_outputs
from vigbench.ops.biwkv.kernels.states import wkv_carry, wkv_states
from vigbench.ops.biwkv.kernels.sums import WITH_BONUS, WITHOUT_BONUS
from vigbench.ops.biwkv.operator import define_biwkv
from vigbench.ops.launch_plan import planned
from vigbench.ops.precision import refuse_float64


class BiwkvSettings(NamedTuple):
    """Tokens of a chunk, whose states fit a lane's registers; channels of a program, one a lane; its warps."""

    chunk: int
    block: int
    warps: int


FORWARD = BiwkvSettings(chunk=16, block=64, warps=2)
BACKWARD = BiwkvSettings(chunk=8, block=64, warps=2)
SIDES = 2


@planned
def _forward(w: Tensor, u: Tensor, k: Tensor, v: Tensor) -> Tensor:
    refuse_float64(k, "use torch_scan")
    out = torch.empty(v.shape, dtype=v.dtype, device=v.device)
    if out.numel():
        work = _Work(k, FORWARD)
        w, u, k, v = w.contiguous(), u.contiguous(), _rows(k), _rows(v)
        states = work.states(w, k, v)
        work.start(wkv_outputs, work.chunks, w, u, k, v, states, out, *_strides(k, v), work.length, work.channels)
    return out


def _backward(grad: Tensor, w: Tensor, u: Tensor, k: Tensor, v: Tensor) -> list[Tensor]:
    refuse_float64(k, "use torch_scan")
    dk, dv, shares = _planned_backward(grad, w, u, k, v)
    dw, du = shares.sum((1, 2)).unbind(0)
    return [dw.to(w.dtype, copy=True), du.to(u.dtype, copy=True), dk, dv]


@planned
def _planned_backward(grad: Tensor, w: Tensor, u: Tensor, k: Tensor, v: Tensor) -> list[Tensor]:
    """Gradients of k and v, and parts of those of w and u: (2, batch, chunks, channels) in float32."""
    work = _Work(k, BACKWARD)
    w, u, k, v, grad = w.contiguous(), u.contiguous(), _rows(k), _rows(v), _rows(grad)
    dk, dv = (torch.empty(k.shape, dtype=k.dtype, device=k.device) for _ in range(2))
    shares = torch.empty(2, work.batch, work.chunks, work.channels, dtype=torch.float32, device=k.device)
    if k.numel():
        states, gradient_states = work.states(w, k, v), work.empty_states(WITH_BONUS.value)
        sizes = (*_strides(k, v, grad), work.length, work.channels)
        work.start(wkv_gradient_states, work.chunks, w, u, k, v, grad, states, gradient_states, *sizes)
        work.carry(w, gradient_states)
        work.start(wkv_gradients, work.chunks, w, u, k, v, grad, states, gradient_states, *shares, dk, dv, *sizes)
    return [dk, dv, shares]


class _Work:
    """Sizes of one call, and what its kernels share."""

    def __init__(self, k: Tensor, settings: BiwkvSettings) -> None:
        self.batch, self.length, self.channels = k.shape
        self.settings = settings
        self.chunks = triton.cdiv(self.length, settings.chunk)
        self.device = k.device

    def states(self, w: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """The sums of values that enter each chunk."""
        states = self.empty_states(WITHOUT_BONUS.value)
        self.start(wkv_states, self.chunks, w, k, v, states, *_strides(k, v), self.length, self.channels)
        self.carry(w, states)
        return states

    def empty_states(self, parts: int) -> Tensor:
        """(sides, parts, batch, chunks, channels)."""
        shape = (SIDES, parts, self.batch, self.chunks, self.channels)
        return torch.empty(shape, dtype=torch.float32, device=self.device)

    def carry(self, w: Tensor, states: Tensor) -> None:
        """Hand what chunks add on from chunk to chunk, in place."""
        self.start(wkv_carry, SIDES, w, states, self.chunks, self.channels, parts=states.shape[1])

    def start(self, kernel: Any, programs: int, *args: Any, **constants: int) -> None:
        """Launch on the tensors' device, `programs` for each block of channels and image."""
        settings = self.settings
        grid = (programs, triton.cdiv(self.channels, settings.block), self.batch)
        constants = {"chunk": settings.chunk, "block": settings.block, **constants}
        kernel_launch.launch_kernel(kernel, grid, self.device, args, constants, settings.warps, 1)


def _rows(x: Tensor) -> Tensor:
    """`x` as kernels take it: in place whatever its strides, unless channels do not lie beside each other."""
    return x if x.stride(-1) == 1 else x.contiguous()


def _strides(*tensors: Tensor) -> list[int]:
    return [stride for x in tensors for stride in x.stride()[:2]]


triton_fused = define_biwkv(
    "triton_fused",
    _forward,
    _backward,
    # per token: 4 for each side's sums, as a chunk and in it, and 9 for the output
    chunked_macs(lambda _: FORWARD.chunk, per_token=8 + 17, per_chunk=10),
    # the forward's chunks, its outputs for the chunks' gradients and for all, 5 for a side's sums of gradients
    chunked_macs(lambda _: BACKWARD.chunk, per_token=8 + (17 + 12) + (17 + 30), per_chunk=20),
)
