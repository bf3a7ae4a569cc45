"""The triangular system inside a chunk, and its gradients (arXiv 2412.06464, section 3.3, the WY form).

Blocks are (block, token, dim), tokens in the order in which they are met. What a token writes under its key, u, lacks
what the tokens before it have written: (I + A) u = beta (v - e^b k S), with A = strictly lower(beta K K^T * D), D_ij =
e^(b_i - b_j), b the sum of log-decays since the chunk's start and S the state that enters the chunk. No sum of
log-decays is the difference of two others, so -inf is exact.
"""

import torch
from torch import Tensor

from vigbench.ops.gla.decay import Direction, arrival, arrival_backward, departure, departure_backward


class DeltaChunk:
    """What is known of chunks before the state that enters them.

    Attributes:
        decay: D, zero above the diagonal.
        arrive, leave: decay from the chunk's start to each token, and from each token to the chunk's end, (.., 1).
        total: decay of a state from the chunk's start to its end.
        gram: K K^T * D.
        lower: A; what is on and above the diagonal is zero.
    """

    def __init__(self, k: Tensor, g: Tensor, beta: Tensor) -> None:
        self.k, self.beta = k, beta
        self.direction = Direction(g, False)
        self.decay = _pair_decay(g)
        self.arrive, self.leave = arrival(self.direction), departure(self.direction)
        self.total = self.arrive[:, -1:]
        self.gram = torch.bmm(k, k.mT).mul_(self.decay)
        self.lower = (beta * self.gram).tril_(-1)

    def solve(self, x: Tensor) -> Tensor:
        """(I + A)^-1 x."""
        solved: Tensor = torch.linalg.solve_triangular(self.lower, x, upper=False, unitriangular=True)
        return solved

    def solve_adjoint(self, x: Tensor) -> Tensor:
        """(I + A)^-T x."""
        solved: Tensor = torch.linalg.solve_triangular(self.lower.mT, x, upper=True, unitriangular=True)
        return solved

    def written(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """W and U: what is written is U - W S."""
        columns = torch.cat((self.beta * self.arrive * self.k, self.beta * v), -1)
        w, u = self.solve(columns).split((self.k.shape[-1], v.shape[-1]), -1)
        return w, u

    def system_backward(self, d_right: Tensor, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """From the gradient of the right-hand side beta (v - e^b k S): what k, beta and pairs' decays get through A."""
        d_system = torch.bmm(d_right, u.mT).tril_(-1).neg_()
        by_pair = d_system * self.gram
        weighted = d_system.mul_(self.decay).mul_(self.beta)
        dk = torch.bmm(weighted, self.k).baddbmm_(weighted.mT, self.k)
        return dk, by_pair.sum(-1, keepdim=True), by_pair * self.beta

    def decay_backward(self, by_pair: Tensor, by_arrival: Tensor, by_departure: Tensor, by_total: Tensor) -> Tensor:
        """Gradient of g from those of the logarithms of all decays: a step is part of each decay that passes it."""
        passing = by_pair.flip(1).cumsum(1).flip(1).tril_(-1).sum(-1, keepdim=True)
        passing += arrival_backward(by_arrival, self.direction)
        passing += departure_backward(by_departure, self.direction)
        return passing.add_(by_total)


def _pair_decay(g: Tensor) -> Tensor:
    size = g.shape[1]
    behind = torch.ones(size, size, dtype=torch.bool, device=g.device).tril_(-1)
    return torch.where(behind, g, 0.0).cumsum(1).exp_().tril_()
