"""Exchanges between the ranks of a torch.distributed group, counted, and checked on all ranks alike.

No operator: nothing is registered here.
"""

from typing import TYPE_CHECKING

from vigbench.ops.lazy import lazy_attributes

if TYPE_CHECKING:
    from vigbench.ops.communication.agreement import agree, check_exchange, differentiated
    from vigbench.ops.communication.differentiable import halo_rows, sum_over_ranks
    from vigbench.ops.communication.parts import bounds_of, even_parts, part_of
    from vigbench.ops.communication.ranks import Ranks, ranks_of
    from vigbench.ops.communication.traffic import CountedTraffic, record_traffic
    from vigbench.ops.communication.transfers import start_all_gather, start_transfers, to_each

__all__ = [
    "CountedTraffic",
    "Ranks",
    "agree",
    "bounds_of",
    "check_exchange",
    "differentiated",
    "even_parts",
    "halo_rows",
    "part_of",
    "ranks_of",
    "record_traffic",
    "start_all_gather",
    "start_transfers",
    "sum_over_ranks",
    "to_each",
]
_ELSEWHERE = {
    **dict.fromkeys(("agree", "check_exchange", "differentiated"), "agreement"),
    **dict.fromkeys(("halo_rows", "sum_over_ranks"), "differentiable"),
    **dict.fromkeys(("bounds_of", "even_parts", "part_of"), "parts"),
    **dict.fromkeys(("Ranks", "ranks_of"), "ranks"),
    **dict.fromkeys(("CountedTraffic", "record_traffic"), "traffic"),
}
__getattr__ = lazy_attributes(__name__, "transfers", __all__, _ELSEWHERE)
