"""A sequence cut over ranks gives what the whole gives, and sends what is said of it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.distributed import ProcessGroup

from tests.ranks import first_ranks, run_ranks
from vigbench.analysis.sequence_parallel import CutSequence, bytes_sent
from vigbench.ops.communication import part_of, record_traffic
from vigbench.ops.gla import bidirectional_gla, sequence_parallel, sequence_parallel_gla
from vigbench.ops.gla.state_exchange import StateExchange

Errors = dict[str, float]
NAMES = ("o", "dq", "dk", "dv", "dg_fwd", "dg_bwd")
BATCH, HEADS, KEY_DIM, VALUE_DIM = 2, 2, 5, 7
PARTS = {2: (7, 23), 3: (7, 23, 22), 4: (7, 23, 22, 9)}
EXCHANGES = ("all_gather", "ring")
DECAYS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {  # of a normal and a uniform sample
    "mild": lambda n, u: F.logsigmoid(n) / 16,
    "strong": lambda n, u: torch.where(u < 0.05, -torch.inf, torch.where(u < 0.1, -20.0, F.logsigmoid(n) / 16)),
}
TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-6, torch.bfloat16: 1e-2}


def whole(length: int, decay: str, dtype: torch.dtype) -> list[Tensor]:
    """q, k, v, g_fwd, g_bwd and an upstream gradient, the same on every rank."""
    rng = torch.Generator().manual_seed(length)
    shape = BATCH, length, HEADS

    def normal(dim: int) -> Tensor:
        return torch.randn(*shape, dim, generator=rng, dtype=torch.float64)

    q, k, v, grad = (normal(dim) for dim in (KEY_DIM, KEY_DIM, VALUE_DIM, VALUE_DIM))
    gates = [DECAYS[decay](normal(KEY_DIM), torch.rand(*shape, KEY_DIM, generator=rng)) for _ in range(2)]
    return [x.to(dtype) for x in (q, k, v, *gates, grad)]


def evaluated(attend: Callable[..., Tensor], inputs: list[Tensor], grad: Tensor) -> list[Tensor]:
    leaves = [x.detach().clone().requires_grad_() for x in inputs]
    o = attend(*leaves)
    return [o.detach(), *torch.autograd.grad(o, leaves, grad)]


def compare(
    group: ProcessGroup | None, parts: tuple[int, ...], exchange: str, decay: str = "mild", dtype: Any = torch.float64
) -> Errors:
    """Errors of this rank's part, relative to the largest value of the whole; one device computes that in float64."""
    *inputs, grad = whole(sum(parts), decay, dtype)
    reference = partial(bidirectional_gla, implementation="reference")
    expected = evaluated(reference, [x.double() for x in inputs], grad.double())
    local = [part_of(x, parts, group) for x in (*inputs, grad)]
    found = evaluated(partial(sequence_parallel_gla, group=group, exchange=exchange), local[:-1], local[-1])
    return {
        name: ((x.double() - part_of(y, parts, group)).abs().max() / y.abs().max()).item()
        for name, x, y in zip(NAMES, found, expected, strict=True)
    }


def traffic(group: ProcessGroup | None, parts: tuple[int, ...], exchange: str) -> list[tuple[int, int, int]]:
    """(bytes sent, bytes received, calls) of forward and backward."""
    *inputs, grad = (part_of(x, parts, group) for x in whole(sum(parts), "mild", torch.float32))
    leaves = [x.clone().requires_grad_() for x in inputs]
    with record_traffic() as both:
        with record_traffic() as forward:
            o = sequence_parallel_gla(*leaves, group=group, exchange=exchange)
        with record_traffic() as backward:
            o.backward(grad)
    counted = [(one.sent_bytes, one.received_bytes, one.calls) for one in (forward, backward)]
    assert [sum(each) for each in zip(*counted, strict=True)] == [both.sent_bytes, both.received_bytes, both.calls]
    assert both.check_bytes > 0
    return counted


def with_wrong_decays(group: ProcessGroup | None, parts: tuple[int, ...], exchange: str) -> Errors:
    right = sequence_parallel.leaving

    def wrong(*args: Any) -> tuple[Tensor, Tensor]:
        decays, states = right(*args)
        return decays**2, states

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sequence_parallel, "leaving", wrong)
        return compare(group, parts, exchange)


def order_of_work(exchange: str) -> list[str]:
    """What happens when, in forward and backward."""
    done: list[str] = []
    attend, start, finish = sequence_parallel.bidirectional_gla, StateExchange.start, StateExchange.finish

    def logged(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def logging(*args: Any) -> Any:
            done.append(name)
            return call(*args)

        return logging

    def attending(q: Tensor, *others: Any) -> Tensor:
        q = q.clone()
        q.register_hook(lambda _: done.append("differentiated"))
        return attend(q, *others)

    inputs = [part_of(x, PARTS[4]).requires_grad_() for x in whole(sum(PARTS[4]), "mild", torch.float32)[:5]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sequence_parallel, "bidirectional_gla", logged("computed", attending))
        patch.setattr(StateExchange, "start", logged("started", start))
        patch.setattr(StateExchange, "finish", logged("waited", finish))
        sequence_parallel_gla(*inputs, exchange=exchange).sum().backward()
    return done


def refused(call: Callable[[], Any]) -> str | None:
    """The message of its ValueError."""
    try:
        call()
    except ValueError as error:
        return str(error)
    return None


def refusals() -> dict[str, str | None]:
    """The message of the ValueError that each wrong call raises here; rank 2 is the one that differs."""
    rank, odd = dist.get_rank(), dist.get_rank() == 2
    q, k, v, g_fwd, g_bwd, _ = (x[:, : 3 + rank] for x in whole(10, "mild", torch.float32))
    attend = partial(sequence_parallel_gla, q, k, v, g_fwd, g_bwd)
    calls: dict[str, Callable[[], Any]] = {
        "dtype": lambda: sequence_parallel_gla(*((x.double() if odd else x) for x in (q, k, v, g_fwd, g_bwd))),
        "heads": lambda: sequence_parallel_gla(*((x[:, :, :1] if odd else x) for x in (q, k, v, g_fwd, g_bwd))),
        "batch": lambda: sequence_parallel_gla(*((x[:1] if odd else x) for x in (q, k, v, g_fwd, g_bwd))),
        "value_dim": lambda: sequence_parallel_gla(q, k, v[..., :3] if odd else v, g_fwd, g_bwd),
        "scale": lambda: attend(scale=0.5 if odd else None),
        "exchange": lambda: attend(exchange="ring" if odd else "all_gather"),
        "differentiated": lambda: sequence_parallel_gla(q, k.clone().requires_grad_(odd), v, g_fwd, g_bwd),
        "wrong on one rank": lambda: sequence_parallel_gla(q, k[:, :1] if odd else k, v, g_fwd, g_bwd),
        "no tokens": lambda: sequence_parallel_gla(*((x[:, :0] if odd else x) for x in (q, k, v, g_fwd, g_bwd))),
        "growing": lambda: sequence_parallel_gla(q, k, v, torch.full_like(g_fwd, 3.0) if odd else g_fwd, g_bwd),
        "unknown exchange": lambda: attend(exchange="all_gathr"),
        "unknown implementation": lambda: attend(implementation="torch_chnk" if odd else "auto"),
        "parts": lambda: part_of(q, (1, 2)),
        "sum of parts": lambda: part_of(q, (1, 2, 3, 5)),
    }
    return {name: refused(call) for name, call in calls.items()}


def all_checks() -> dict[str, Any]:
    """Everything that needs ranks, in one start of them."""
    rank = dist.get_rank()
    groups = {2: first_ranks(2), 3: first_ranks(3), 4: None}
    inside = {size: (group, PARTS[size]) for size, group in groups.items() if rank < size}
    errors = {
        (size, exchange, decay): compare(*place, exchange, decay)
        for size, place in inside.items()
        for exchange in EXCHANGES
        for decay in DECAYS
    }
    whole_group = None, PARTS[4]
    return {
        "errors": errors,
        "short": {exchange: compare(None, (1, 5, 1, 1), exchange, "strong") for exchange in EXCHANGES},
        "dtypes": {
            (dtype, decay): compare(*whole_group, "all_gather", decay, dtype)
            for dtype in (torch.float32, torch.bfloat16)
            for decay in DECAYS
        },
        "traffic": {(size, one): traffic(*place, one) for size, place in inside.items() for one in EXCHANGES},
        "wrong": {(size, one): with_wrong_decays(*place, one) for size, place in inside.items() for one in EXCHANGES},
        "order": {exchange: order_of_work(exchange) for exchange in EXCHANGES},
        "refusals": refusals(),
        "after": compare(*whole_group, "ring"),
        "outside": refused(lambda: compare(groups[2], (2, 2), "ring")) if rank >= 2 else None,
    }


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return run_ranks(all_checks, 4, tmp_path_factory.mktemp("ranks"))


def cut_of(size: int) -> CutSequence:
    """What the model of the volumes is given for it; the length plays no part."""
    shape = {"heads": HEADS, "key_dim": KEY_DIM, "value_dim": VALUE_DIM, "batch": BATCH}
    return CutSequence(length=sum(PARTS[size]), ranks=size, **shape)


def largest(ranks: list[dict[str, Any]], name: str, key: Any) -> Errors:
    """The largest error of any rank that took part."""
    parts = [rank[name][key] for rank in ranks if key in rank[name]]
    return {one: max(part[one] for part in parts) for one in NAMES}


@pytest.mark.parametrize("size", PARTS)
@pytest.mark.parametrize("exchange", EXCHANGES)
@pytest.mark.parametrize("decay", DECAYS)
def test_output_and_gradients_are_those_of_one_device(
    ranks: list[dict[str, Any]], size: int, exchange: str, decay: str
) -> None:
    errors = largest(ranks, "errors", (size, exchange, decay))
    assert max(errors.values()) < TOLERANCE[torch.float64], errors


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_a_part_may_be_one_token(ranks: list[dict[str, Any]], exchange: str) -> None:
    errors = largest(ranks, "short", exchange)
    assert max(errors.values()) < TOLERANCE[torch.float64], errors


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("decay", DECAYS)
def test_lower_precisions(ranks: list[dict[str, Any]], dtype: torch.dtype, decay: str) -> None:
    errors = largest(ranks, "dtypes", (dtype, decay))
    assert max(errors.values()) < TOLERANCE[dtype], errors


@pytest.mark.parametrize("size", PARTS)
def test_an_all_gather_sends_states_and_decays_forward_and_gradients_of_states_backward(
    ranks: list[dict[str, Any]], size: int
) -> None:
    states = 2 * BATCH * HEADS * KEY_DIM * 4  # of both directions, bytes of float32 a value channel
    cut = cut_of(size)
    assert (size - 1) * states * (VALUE_DIM + 1) == bytes_sent("gla_all_gather", cut, "forward", 4)
    assert (size - 1) * states * VALUE_DIM == bytes_sent("gla_all_gather", cut, "backward", 4)
    for rank in ranks[:size]:
        forward, backward = rank["traffic"][size, "all_gather"]
        assert forward == ((size - 1) * states * (VALUE_DIM + 1),) * 2 + (1,)
        assert backward == ((size - 1) * states * VALUE_DIM,) * 2 + (1,)


@pytest.mark.parametrize("size", PARTS)
def test_a_ring_sends_one_state_a_direction_whatever_the_number_of_ranks(
    ranks: list[dict[str, Any]], size: int
) -> None:
    state = BATCH * HEADS * KEY_DIM * VALUE_DIM * 4
    for number, rank in enumerate(ranks[:size]):
        neighbours = 1 if number in (0, size - 1) else 2
        for sent, received, calls in rank["traffic"][size, "ring"]:
            assert sent == received == neighbours * state
            assert calls <= size - 1
    most = max(rank["traffic"][size, "ring"][0][0] for rank in ranks[:size])
    assert (
        most
        == bytes_sent("gla_ring", cut_of(size), "forward", 4)
        == bytes_sent("gla_ring", cut_of(size), "backward", 4)
    )


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_the_exchange_is_under_way_while_a_rank_computes(ranks: list[dict[str, Any]], exchange: str) -> None:
    forward, backward = ["started", "computed", "waited"], ["started", "differentiated", "waited"]
    assert all(rank["order"][exchange] == forward + backward for rank in ranks)


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_a_wrong_decay_is_seen_from_three_ranks_on(ranks: list[dict[str, Any]], exchange: str) -> None:
    for size in (3, 4):
        assert largest(ranks, "wrong", (size, exchange))["o"] > 1e-3
    # with two, no state passes a rank, so that only the gradient of what no rank receives would be wrong
    assert largest(ranks, "wrong", (2, exchange))["o"] < 1e-12


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dtype", "dtype is torch.float32 on rank 0 but torch.float64 on rank 2"),
        ("heads", "heads is 2 on rank 0 but 1 on rank 2"),
        ("batch", "batch is 2 on rank 0 but 1 on rank 2"),
        ("value_dim", "value_dim is 7 on rank 0 but 3 on rank 2"),
        ("scale", "scale is None on rank 0 but 0.5 on rank 2"),
        ("exchange", "exchange is all_gather on rank 0 but ring on rank 2"),
        ("differentiated", "differentiated is [] on rank 0 but ['k'] on rank 2"),
        ("wrong on one rank", "rank 2 of 4 was given wrong inputs: k is (2, 1, 2, 5) but q is (2, 5, 2, 5)"),
        ("no tokens", "rank 2 of 4 was given wrong inputs: q is (2, 0, 2, 5)"),
        ("growing", "rank 2 of 4 was given wrong inputs: a log-decay is 3, but states decay: pass values <= 0"),
        ("unknown exchange", "unknown exchange 'all_gathr': choose from all_gather, ring; did you mean 'all_gather'?"),
        ("unknown implementation", "rank 2 of 4 was given wrong inputs"),
        ("parts", "2 parts (1, 2) for a group of 4 ranks: give one part for each"),
        ("sum of parts", "parts (1, 2, 3, 5) have to be at least 1 each and add up to"),
    ],
)
def test_ranks_that_do_not_fit_together_raise_the_same_error(
    ranks: list[dict[str, Any]], name: str, message: str
) -> None:
    found = [rank["refusals"][name] for rank in ranks]
    assert message in found[0]
    assert len(set(found)) == 1 or name == "sum of parts"  # each has another length here


def test_the_ranks_go_on_after_a_refusal(ranks: list[dict[str, Any]]) -> None:
    assert max(max(rank["after"].values()) for rank in ranks) < TOLERANCE[torch.float64]


def test_a_rank_outside_the_group_is_told(ranks: list[dict[str, Any]]) -> None:
    assert [rank["outside"] for rank in ranks[:2]] == [None, None]
    assert all("not in the group" in rank["outside"] for rank in ranks[2:])


def test_without_torch_distributed_nothing_waits() -> None:
    q, k, v, g_fwd, g_bwd, _ = whole(3, "mild", torch.float32)
    with pytest.raises(ValueError, match=r"torch\.distributed is not initialised: call"):
        sequence_parallel_gla(q, k, v, g_fwd, g_bwd)


def test_one_rank_exchanges_nothing(tmp_path: Path) -> None:
    dist.init_process_group("gloo", f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        errors = compare(None, (9,), "ring", "strong")
        with record_traffic() as counted:
            compare(None, (9,), "all_gather")
    finally:
        dist.destroy_process_group()
    assert max(errors.values()) < TOLERANCE[torch.float64]
    assert (counted.sent_bytes, counted.calls, counted.check_bytes) == (0, 0, 0)
