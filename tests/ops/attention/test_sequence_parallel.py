"""Attention over a sequence cut over ranks gives what it gives over the whole, and sends keys and values."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup

from tests.ranks import first_ranks, run_ranks
from vigbench.analysis.sequence_parallel import CutSequence, bytes_sent
from vigbench.ops.attention import blockwise, sequence_parallel_attention
from vigbench.ops.attention.softmax import eager
from vigbench.ops.communication import part_of, record_traffic

Errors = dict[str, float]
NAMES = ("o", "dq", "dk", "dv")
BATCH, HEADS, KEY_DIM, VALUE_DIM = 2, 2, 5, 7
PARTS = {2: (7, 23), 3: (7, 23, 22), 4: (7, 23, 22, 9)}
EXCHANGES = ("all_gather", "ring")
TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-6, torch.bfloat16: 1e-2}


def whole(length: int, dtype: torch.dtype) -> list[Tensor]:
    """q, k, v and an upstream gradient, the same on every rank; scores are far from equal."""
    rng = torch.Generator().manual_seed(length)
    dims = KEY_DIM, KEY_DIM, VALUE_DIM, VALUE_DIM
    q, *others = (torch.randn(BATCH, length, HEADS, dim, generator=rng, dtype=torch.float64) for dim in dims)
    return [x.to(dtype) for x in (2 * q, *others)]


def evaluated(attend: Callable[..., Tensor], inputs: list[Tensor], grad: Tensor) -> list[Tensor]:
    leaves = [x.detach().clone().requires_grad_() for x in inputs]
    o = attend(*leaves)
    return [o.detach(), *torch.autograd.grad(o, leaves, grad)]


def compare(
    group: ProcessGroup | None, parts: tuple[int, ...], exchange: str, causal: bool, dtype: Any = torch.float64
) -> Errors:
    """Errors of this rank's part, relative to the largest value of the whole; one device computes that in float64."""
    *inputs, grad = whole(sum(parts), dtype)
    expected = evaluated(partial(eager, scale=0.4, causal=causal), [x.double() for x in inputs], grad.double())
    local = [part_of(x, parts, group) for x in (*inputs, grad)]
    attend = partial(sequence_parallel_attention, scale=0.4, causal=causal, group=group, exchange=exchange)
    found = evaluated(attend, local[:-1], local[-1])
    return {
        name: ((x.double() - part_of(y, parts, group)).abs().max() / y.abs().max()).item()
        for name, x, y in zip(NAMES, found, expected, strict=True)
    }


def traffic(group: ProcessGroup | None, parts: tuple[int, ...], exchange: str) -> list[tuple[int, int, int]]:
    """(bytes sent, bytes received, calls) of forward and backward."""
    *inputs, grad = (part_of(x, parts, group) for x in whole(sum(parts), torch.float32))
    leaves = [x.clone().requires_grad_() for x in inputs]
    with record_traffic() as forward:
        o = sequence_parallel_attention(*leaves, group=group, exchange=exchange)
    with record_traffic() as backward:
        o.backward(grad)
    return [(one.sent_bytes, one.received_bytes, one.calls) for one in (forward, backward)]


def refusals() -> dict[str, str | None]:
    """The message of the ValueError that each wrong call raises here; rank 2 is the one that differs."""
    odd = dist.get_rank() == 2
    q, k, v, _ = (x[:, : 3 + dist.get_rank()] for x in whole(10, torch.float32))
    calls: dict[str, Callable[[], Any]] = {
        "dtype": lambda: sequence_parallel_attention(*((x.double() if odd else x) for x in (q, k, v))),
        "causal": lambda: sequence_parallel_attention(q, k, v, causal=odd),
        "shape of k": lambda: sequence_parallel_attention(q, k[:, :1] if odd else k, v),
        "shape of v": lambda: sequence_parallel_attention(q, k, v[:, :, :1] if odd else v),
        "dtype of v": lambda: sequence_parallel_attention(q, k, v.double() if odd else v),
        "unknown exchange": lambda: sequence_parallel_attention(q, k, v, exchange="rings" if odd else "ring"),
    }
    messages: dict[str, str | None] = dict.fromkeys(calls)
    for name, call in calls.items():
        try:
            call()
        except ValueError as error:
            messages[name] = str(error)
    return messages


def all_checks() -> dict[str, Any]:
    """Everything that needs ranks, in one start of them; keys come in several slices."""
    blockwise.KEYS = 8
    rank = dist.get_rank()
    groups = {2: first_ranks(2), 3: first_ranks(3), 4: None}
    inside = {size: (group, PARTS[size]) for size, group in groups.items() if rank < size}
    return {
        "errors": {
            (size, exchange, causal): compare(*place, exchange, causal)
            for size, place in inside.items()
            for exchange in EXCHANGES
            for causal in (False, True)
        },
        "short": {exchange: compare(None, (1, 5, 1, 1), exchange, True) for exchange in EXCHANGES},
        "dtypes": {
            (dtype, exchange): compare(None, PARTS[4], exchange, False, dtype)
            for dtype in (torch.float32, torch.bfloat16)
            for exchange in EXCHANGES
        },
        "traffic": {(size, one): traffic(*place, one) for size, place in inside.items() for one in EXCHANGES},
        "equal": {one: traffic(None, (8, 8, 8, 8), one) for one in EXCHANGES},
        "refusals": refusals(),
    }


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return run_ranks(all_checks, 4, tmp_path_factory.mktemp("ranks"))


def largest(ranks: list[dict[str, Any]], name: str, key: Any) -> Errors:
    """The largest error of any rank that took part."""
    parts = [rank[name][key] for rank in ranks if key in rank[name]]
    return {one: max(part[one] for part in parts) for one in NAMES}


@pytest.mark.parametrize("size", PARTS)
@pytest.mark.parametrize("exchange", EXCHANGES)
@pytest.mark.parametrize("causal", [False, True])
def test_output_and_gradients_are_those_of_one_device(
    ranks: list[dict[str, Any]], size: int, exchange: str, causal: bool
) -> None:
    errors = largest(ranks, "errors", (size, exchange, causal))
    assert max(errors.values()) < TOLERANCE[torch.float64], errors


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_a_part_may_be_one_token(ranks: list[dict[str, Any]], exchange: str) -> None:
    errors = largest(ranks, "short", exchange)
    assert max(errors.values()) < TOLERANCE[torch.float64], errors


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("exchange", EXCHANGES)
def test_lower_precisions(ranks: list[dict[str, Any]], dtype: torch.dtype, exchange: str) -> None:
    errors = largest(ranks, "dtypes", (dtype, exchange))
    assert max(errors.values()) < TOLERANCE[dtype], errors


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_keys_and_values_are_sent_once_forward_and_with_their_gradients_backward(
    ranks: list[dict[str, Any]], exchange: str
) -> None:
    part = 3 * 8 * BATCH * HEADS * (KEY_DIM + VALUE_DIM) * 4
    cut = CutSequence(length=32, ranks=4, heads=HEADS, key_dim=KEY_DIM, value_dim=VALUE_DIM, batch=BATCH)
    assert part == bytes_sent(f"attention_{exchange}", cut, "forward", 4)
    assert 2 * part == bytes_sent(f"attention_{exchange}", cut, "backward", 4)
    for rank in ranks:
        (sent, received, _), backward = rank["equal"][exchange]
        assert sent == received == part
        assert backward[:2] == (2 * part, 2 * part)


@pytest.mark.parametrize("size", PARTS)
def test_of_unequal_parts_an_all_gather_sends_the_longest(ranks: list[dict[str, Any]], size: int) -> None:
    token = BATCH * HEADS * (KEY_DIM + VALUE_DIM) * 4
    parts = PARTS[size]
    for number, rank in enumerate(ranks[:size]):
        (sent, received, _), backward = rank["traffic"][size, "all_gather"]
        assert sent == received == (size - 1) * max(parts) * token
        assert backward[0] == sent + (sum(parts) - parts[number]) * token
        assert backward[1] == sent + (size - 1) * parts[number] * token


@pytest.mark.parametrize("size", PARTS)
def test_a_ring_sends_every_part_but_the_next_rank_s(ranks: list[dict[str, Any]], size: int) -> None:
    token = BATCH * HEADS * (KEY_DIM + VALUE_DIM) * 4
    parts = PARTS[size]
    for number, rank in enumerate(ranks[:size]):
        forward, backward = rank["traffic"][size, "ring"]
        sent, received = sum(parts) - parts[(number + 1) % size], sum(parts) - parts[number]
        assert forward == (sent * token, received * token, size - 1)
        # gradients of all but its own part go on, and it receives what the others found for its own
        gradients = sum(parts) - parts[number], sum(parts) - parts[(number - 1) % size]
        assert backward == ((sent + gradients[0]) * token, (received + gradients[1]) * token, 2 * (size - 1))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dtype", "dtype is torch.float32 on rank 0 but torch.float64 on rank 2"),
        ("causal", "causal is False on rank 0 but True on rank 2"),
        ("shape of k", "rank 2 of 4 was given wrong inputs: q is (2, 5, 2, 5) and k (2, 1, 2, 5): pass"),
        ("shape of v", "rank 2 of 4 was given wrong inputs: v is (2, 5, 1, 7) but q is (2, 5, 2, 5): only the last"),
        ("dtype of v", "rank 2 of 4 was given wrong inputs: v is torch.float64 on cpu but q is torch.float32"),
        ("unknown exchange", "unknown exchange 'rings': choose from all_gather, ring; did you mean 'ring'?"),
    ],
)
def test_ranks_that_do_not_fit_together_raise_the_same_error(
    ranks: list[dict[str, Any]], name: str, message: str
) -> None:
    found = [rank["refusals"][name] for rank in ranks]
    assert message in found[0]
    assert len(set(found)) == 1


def test_without_torch_distributed_nothing_waits() -> None:
    q, k, v, _ = whole(3, torch.float32)
    with pytest.raises(ValueError, match=r"torch\.distributed is not initialised: call"):
        sequence_parallel_attention(q, k, v)


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_one_rank_exchanges_nothing(tmp_path: Path, exchange: str) -> None:
    dist.init_process_group("gloo", f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        with record_traffic() as counted:
            errors = compare(None, (9,), exchange, True)
    finally:
        dist.destroy_process_group()
    assert max(errors.values()) < TOLERANCE[torch.float64]
    assert (counted.sent_bytes, counted.calls, counted.check_bytes) == (0, 0, 0)


def test_memory_grows_with_the_number_of_tokens_and_not_with_its_square() -> None:
    from vigbench.measure.memory import cpu_allocator_peak

    def peak(length: int) -> float:
        q, v = torch.randn(1, 1, length, 4), torch.randn(1, 1, length, 4)
        return cpu_allocator_peak(lambda: blockwise.BlockwiseAttention(q, 4).add(q, v, causal=True))

    assert peak(4096) < 2.2 * peak(2048)
