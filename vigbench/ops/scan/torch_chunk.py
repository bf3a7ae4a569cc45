"""The selective scan in plain PyTorch, for any device, segment by segment: no state of all tokens is ever in memory.

States are (rows, tokens, state, dim): with channels last every product runs over contiguous memory. The backward keeps
the inputs and, while it runs, the state that enters each segment.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vigbench.ops.scan.cost import chunk_macs, chunk_macs_backward
from vigbench.ops.scan.operator import SOFTPLUS_THRESHOLD, ScanArguments, define_scan
from vigbench.ops.scan.segments import Segments, scan_, scan_back_

LOG2_E = 1 / math.log(2)  # exp2 is several times as fast as exp on a CPU


class _Scan:
    """One call's inputs, in float32 (float64 for float64 inputs), and the quantities that all passes share."""

    def __init__(self, given: ScanArguments) -> None:
        self.given = given
        self.segments = Segments(given.u, given.B.shape[-1], given.reverses())
        self.A = self.segments.by_row(given.A.mT)  # (rows, state, dim)
        self.log2_decay = (self.A * LOG2_E).unsqueeze(1)
        self.D, self.bias = (
            None if x is None else self.segments.by_row(x).unsqueeze(1) for x in (given.D, given.delta_bias)
        )

    def empty_state(self) -> Tensor:
        return torch.zeros_like(self.A)

    def step(self, span: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Step sizes, and what they are the softplus of."""
        raw = self.segments.load(self.given.delta, span)
        if self.bias is not None:
            raw = raw + self.bias
        return (F.softplus(raw), raw) if self.given.softplus else (raw, raw)

    def decay(self, step: Tensor) -> Tensor:
        """exp(step A), (rows, tokens, state, dim)."""
        return (step.unsqueeze(2) * self.log2_decay).exp2_()

    def states(self, span: tuple[int, int], step: Tensor, u: Tensor, decay: Tensor, state: Tensor) -> Tensor:
        """The state after each token, from that before the first; `decay` is overwritten."""
        written = (step * u).unsqueeze(2) * self.segments.load(self.given.B, span).unsqueeze(-1)
        scan_(decay, written, state)
        return written

    def summed(self, entering: list[Tensor] | None = None) -> Tensor:
        """The sum over the directions, (batch, length, dim); `entering` gets the state before each segment."""
        out = torch.zeros(self.given.u.shape[1:], dtype=self.segments.dtype, device=self.given.u.device)
        state = self.empty_state()
        for span in self.segments.spans():
            if entering is not None:
                entering.append(state)
            step, _ = self.step(span)
            u = self.segments.load(self.given.u, span)
            states = self.states(span, step, u, self.decay(step), state)
            read = torch.matmul(self.segments.load(self.given.C, span).unsqueeze(2), states).squeeze(2)
            self.segments.add(out, span, read if self.D is None else read.addcmul_(self.D, u))
            state = states[:, -1].clone()
        return out


def _forward(*arguments: Any) -> Tensor:
    given = ScanArguments(*arguments)
    out = _Scan(given).summed()
    if given.z is not None:
        out *= F.silu(given.z.to(out.dtype))
    return out.mul_(given.scale).to(given.u.dtype)


def _backward(grad: Tensor, *arguments: Any) -> list[Tensor]:
    given = ScanArguments(*arguments)
    u, delta, _, B, C, _, z, _, scale, softplus, _ = given
    scan = _Scan(given)
    segments, entering = scan.segments, list[Tensor]()
    summed = scan.summed(entering)
    grad, d_z = grad.to(summed.dtype) * scale, None
    if z is not None:
        gate = z.to(summed.dtype)
        d_z = torch.ops.aten.silu_backward(grad * summed, gate).to(z.dtype)
        grad = grad * F.silu(gate)
    d_u, d_delta, d_B, d_C = (torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in (u, delta, B, C))
    d_A, d_bias, d_D = torch.zeros_like(scan.A), torch.zeros_like(scan.A[:, :1]), torch.zeros_like(scan.A[:, :1])
    both = grad.expand(u.shape)  # each direction's output has the same gradient
    adjoint = scan.empty_state()  # gradient of the state that leaves a segment
    for span, state in zip(reversed(segments.spans()), reversed(entering), strict=True):
        step, raw = scan.step(span)
        u_, dy = segments.load(u, span), segments.load(both, span)
        decay = scan.decay(step)
        after = scan.states(span, step, u_, decay.clone(), state)
        d_state = segments.load(C, span).unsqueeze(-1) * dy.unsqueeze(2)
        following = torch.cat([decay[:, 1:], torch.ones_like(decay[:, :1])], dim=1)
        first = scan_back_(following, d_state, adjoint)
        adjoint = decay[:, 0] * first
        segments.store(d_C, span, torch.matmul(after, dy.unsqueeze(-1)).squeeze(-1))
        segments.store(d_B, span, torch.matmul(d_state, (step * u_).unsqueeze(-1)).squeeze(-1))
        d_written = torch.matmul(segments.load(B, span).unsqueeze(2), d_state).squeeze(2)
        before = torch.cat([state.unsqueeze(1), after[:, :-1]], dim=1)
        d_log_decay = before.mul_(decay).mul_(d_state)
        d_A += (d_log_decay * step.unsqueeze(2)).sum(1)
        d_step = (d_log_decay * scan.A.unsqueeze(1)).sum(2).addcmul_(d_written, u_)
        d_raw = torch.ops.aten.softplus_backward(d_step, raw, 1, SOFTPLUS_THRESHOLD) if softplus else d_step
        d_bias += d_raw.sum(1, keepdim=True)
        d_D += (dy * u_).sum(1, keepdim=True)
        segments.store(d_delta, span, d_raw)
        segments.store(d_u, span, d_written.mul_(step) if scan.D is None else d_written.mul_(step).addcmul_(scan.D, dy))
    d_A, d_D, d_bias = (x.unflatten(0, (-1, segments.batch)).sum(1) for x in (d_A, d_D, d_bias))
    return given.gradients(d_u, d_delta, d_A.mT, d_B, d_C, d_D.squeeze(1), d_z, d_bias.squeeze(1))


torch_chunk = define_scan("torch_chunk", _forward, _backward, chunk_macs, chunk_macs_backward)
