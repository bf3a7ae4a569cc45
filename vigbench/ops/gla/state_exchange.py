"""States of gated linear attention that travel along ranks, in both directions at once (LASP, arXiv 2404.02882).

A state S that enters rank r leaves it as diag(a_r) S + m_r. One chain goes up, from rank 0, the other down, from the
last rank: forward these are the two directions' states, backward the gradients of the states, which travel against
their direction with the same a.
"""

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from vigbench.ops.communication import Ranks, start_all_gather, start_transfers

UP, DOWN = 0, 1


class Chains(Protocol):
    """Starts the exchange of decays (2, batch, heads, key_dim) and what each rank adds, (..., value_dim); index UP or
    DOWN comes first. What it returns waits, and gives what enters this rank.
    """

    def __call__(self, decays: Tensor, added: Tensor, /) -> Callable[[], Tensor]: ...


class GatheredChains:
    """All ranks' a and m in one all-gather, composed by each for itself (LASP-2, arXiv 2502.07563).

    The first exchange is forward; later ones are backward, where the decays are known and only the states are sent.
    """

    def __init__(self, ranks: Ranks) -> None:
        self.ranks = ranks
        self._decays: list[Tensor] | None = None

    def __call__(self, decays: Tensor, added: Tensor, /) -> Callable[[], Tensor]:
        known = self._decays
        if known is None:
            wait = start_all_gather(torch.cat([decays.unsqueeze(-1), added], -1), self.ranks)
        else:
            wait = start_all_gather(added, self.ranks)

        def entering() -> Tensor:
            gathered = wait()
            if known is not None:
                return self._composed([one.flip(0) for one in known], gathered)
            self._decays = [one[..., 0].clone() for one in gathered]
            return self._composed(self._decays, [one[..., 1:] for one in gathered])

        return entering

    def _composed(self, decays: list[Tensor], added: list[Tensor]) -> Tensor:
        rank, size = self.ranks.rank, self.ranks.size
        state = added[rank].new_zeros(added[rank].shape)
        for chain, passed in ((UP, range(rank)), (DOWN, range(size - 1, rank, -1))):
            for other in passed:
                state[chain].mul_(decays[other][chain].unsqueeze(-1)).add_(added[other][chain])
        return state


class RingChains:
    """The states alone, from rank to rank, in one dependent hop less than there are ranks (LASP-1, arXiv 2404.02882).

    Both chains make their hops at the same time. Every rank does what a hop asks of it in the same order, so that the
    two messages between neighbours never wait for each other.
    """

    def __init__(self, ranks: Ranks) -> None:
        self.ranks = ranks

    def __call__(self, decays: Tensor, added: Tensor, /) -> Callable[[], Tensor]:
        entering = added.new_zeros(added.shape)
        wait = self._hop(0, decays, added, entering)

        def rest() -> Tensor:
            wait()
            for hop in range(1, self.ranks.size - 1):
                self._hop(hop, decays, added, entering)()
            return entering

        return rest

    def _hop(self, hop: int, decays: Tensor, added: Tensor, entering: Tensor) -> Callable[[], None]:
        sends, receives = [], []
        for chain, step in ((UP, 1), (DOWN, -1)):
            passed = self.ranks.rank if chain == UP else self.ranks.size - 1 - self.ranks.rank
            if hop == passed:
                leaving = torch.addcmul(added[chain], decays[chain].unsqueeze(-1), entering[chain])
                sends.append((self.ranks.rank + step, leaving))
            elif hop == passed - 1:
                receives.append((self.ranks.rank - step, entering[chain]))
        return start_transfers(sends, receives, self.ranks)


class StateExchange:
    """One exchange of states and, in the backward, of their gradients; each under way while the rank computes.

    `send`, then anything, then `receive`: the backward of `receive` starts the exchange of gradients and that of `send`
    waits for it, so that what stood between them is differentiated meanwhile.
    """

    def __init__(self, chains: Chains) -> None:
        self.chains = chains
        self.wait: Callable[[], Tensor] | None = None
        self.decays: Tensor | None = None
        self.entered: Tensor | None = None

    def send(self, decays: Tensor, states: Tensor) -> Tensor:
        """Start; decays (2, batch, heads, key_dim), states (..., value_dim). Returns an empty tensor for `receive`."""
        ticket: Tensor = _Send.apply(decays, states, self)
        return ticket

    def receive(self, ticket: Tensor) -> Tensor:
        """The states that enter this rank, of the shape of those that were sent."""
        entering: Tensor = _Receive.apply(ticket, self)
        return entering

    def start(self, decays: Tensor, added: Tensor) -> None:
        """Start one pass."""
        assert self.wait is None
        self.wait = self.chains(decays, added)

    def finish(self) -> Tensor:
        """Wait for the pass that was started."""
        assert self.wait is not None
        entering, self.wait = self.wait(), None
        return entering


class _Send(Function):
    @staticmethod
    def forward(ctx: Any, decays: Tensor, states: Tensor, exchange: StateExchange) -> Tensor:
        ctx.exchange = exchange
        exchange.decays = decays.detach()
        exchange.start(decays.detach(), states.detach())
        return states.new_empty(0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, _: Tensor) -> tuple[Tensor, Tensor, None]:
        left = ctx.exchange.finish().flip(0)  # what goes down is the gradient of states that went up
        return (left * ctx.exchange.entered).sum(-1), left, None


class _Receive(Function):
    @staticmethod
    def forward(ctx: Any, _: Tensor, exchange: StateExchange) -> Tensor:
        ctx.exchange = exchange
        entering = exchange.finish()
        exchange.entered = entering.detach()  # the result itself would hold its own graph
        return entering

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        assert ctx.exchange.decays is not None
        ctx.exchange.start(ctx.exchange.decays.flip(0), grad.flip(0))
        return grad.new_empty(0), None
