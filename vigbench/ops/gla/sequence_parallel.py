"""Gated linear attention of a sequence that is cut over the ranks of a torch.distributed group.

What crosses a rank's border is one state a head and direction, however long the parts are (LASP, arXiv 2404.02882;
LASP-2, arXiv 2502.07563), here with decays per token and channel and in both directions. A rank computes the output of
its own tokens by any implementation while the states are exchanged, then adds what the entering states give:
o_t += scale (q_t * exp(b_t)) S, b_t the sum of log-decays up to t. See docs/sequence-parallel.md.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from vigbench.ops.communication import Ranks, agree, check_exchange, differentiated, ranks_of
from vigbench.ops.gla.decay import Direction, arrival, departure
from vigbench.ops.gla.interface import bidirectional_gla, check_inputs, selected_implementation
from vigbench.ops.gla.state_exchange import Chains, GatheredChains, RingChains, StateExchange
from vigbench.ops.inputs import require_decays

EXCHANGES: dict[str, Callable[[Ranks], Chains]] = {"all_gather": GatheredChains, "ring": RingChains}


def sequence_parallel_gla(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    g_fwd: Tensor,
    g_bwd: Tensor,
    scale: float | None = None,
    group: ProcessGroup | None = None,
    exchange: str = "all_gather",
    implementation: str = "auto",
) -> Tensor:
    """`bidirectional_gla` of a sequence of which each rank has consecutive tokens, rank 0 the first.

    Every rank of the group calls it, and the backward of what it computes, in the same order. Gradients are those of
    the sum of what the ranks differentiate. Descriptions of the inputs are compared first, at every call (see
    `communication.agree`).

    Args:
        q, k, g_fwd, g_bwd: this rank's tokens, (batch, length, heads, key_dim), at least one; lengths may differ
            between ranks, nothing else. dtypes as for `bidirectional_gla`.
        v: (batch, length, heads, value_dim).
        scale: by default key_dim ** -0.5.
        group: by default all processes.
        exchange: "all_gather", of all states at once, or "ring", from rank to rank.
        implementation: of `bidirectional_gla`, for the rank's own tokens.

    Returns:
        The output of this rank's tokens, like v. States are kept and sent in float32 (float64 for float64).

    Raises:
        ValueError: torch.distributed is not initialised, this process is not in the group, or, on every rank alike,
            one rank's inputs are wrong, or differ from another's in more than their length.
    """
    ranks = ranks_of(group)

    def describe() -> dict[str, object]:
        check_exchange(exchange, EXCHANGES)
        checked = check_inputs(q, k, v, {"g_fwd": g_fwd, "g_bwd": g_bwd})
        require_decays(g_fwd, g_bwd, waits=True)  # as the comparison of descriptions does
        if not q.shape[0]:
            raise ValueError("q has no sequences: pass a batch of at least 1")
        selected_implementation(implementation, q, k, v, g_fwd, g_bwd)
        return {
            "operator": "gla",
            "exchange": exchange,
            "dtype": str(checked[0].dtype),
            "batch": q.shape[0],
            "heads": q.shape[2],
            "key_dim": q.shape[3],
            "value_dim": v.shape[3],
            "scale": scale,
            "differentiated": differentiated(q=q, k=k, v=v, g_fwd=g_fwd, g_bwd=g_bwd),
        }

    agree(describe, ranks)
    q, k, v = check_inputs(q, k, v, {"g_fwd": g_fwd, "g_bwd": g_bwd})
    return gla_of_part(
        q, k, v, g_fwd, g_bwd, q.shape[-1] ** -0.5 if scale is None else scale, ranks, exchange, implementation
    )


def gla_of_part(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    g_fwd: Tensor,
    g_bwd: Tensor,
    scale: float,
    ranks: Ranks,
    exchange: str,
    implementation: str,
) -> Tensor:
    """The same of inputs that all ranks are known to agree on: nothing but states is exchanged."""
    if ranks.size == 1:
        return bidirectional_gla(q, k, v, g_fwd, g_bwd, scale, implementation)
    dtype = torch.promote_types(q.dtype, torch.float32)
    directions = Direction(g_fwd.to(dtype), reverse=False), Direction(g_bwd.to(dtype), reverse=True)
    under_way = StateExchange(EXCHANGES[exchange](ranks))
    ticket = under_way.send(*leaving(k.to(dtype), v.to(dtype), directions))
    own = bidirectional_gla(q, k, v, g_fwd, g_bwd, scale, implementation)
    return (own + read(q.to(dtype), under_way.receive(ticket), directions, scale / 2)).to(v.dtype)


def leaving(k: Tensor, v: Tensor, directions: tuple[Direction, Direction]) -> tuple[Tensor, Tensor]:
    """What a part does to a state of either direction: its decays, (2, batch, heads, key_dim), and what it adds to it.

    Weights are exp(sum of g after t), summed from where the state leaves: no difference of sums meets a -inf.
    """
    decays = torch.stack([direction.g.sum(1) for direction in directions]).exp()
    states = [torch.einsum("blhk,blhv->bhkv", departure(direction) * k, v) for direction in directions]
    return decays, torch.stack(states)


def read(q: Tensor, entering: Tensor, directions: tuple[Direction, Direction], scale: float) -> Tensor:
    """What the tokens of a part see of the states that enter it, summed over the directions."""
    arriving = torch.cat([arrival(direction) * q for direction in directions], -1)
    states = torch.cat(entering.unbind(0), -2)  # one product reads both
    return torch.einsum("blhk,bhkv->blhv", arriving * scale, states)
