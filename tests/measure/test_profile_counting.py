"""FLOPs and bytes of single operators, against what their definition says."""

import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vigbench.measure.profile.counting import CountedCall, CountedCalls
from vigbench.ops.gla import bidirectional_gla
from vigbench.ops.scan import selective_scan

SIDES = st.integers(1, 9)


def calls_of(run: object, *inputs: Tensor) -> list[CountedCall]:
    assert callable(run)
    with CountedCalls() as counter:
        run(*inputs)
    return counter.calls


def moved(run: object, *inputs: Tensor) -> int:
    return sum(call.moved for call in calls_of(run, *inputs))


@given(SIDES, SIDES, SIDES)
@settings(max_examples=20)
def test_a_product_reads_both_factors_and_writes_the_result(m: int, k: int, n: int) -> None:
    (call,) = calls_of(torch.mm, torch.ones(m, k), torch.ones(k, n))
    assert call == CountedCall("aten::mm", 2 * m * k * n, 4 * (m * k + k * n + m * n))


def special(run: object, *inputs: Tensor) -> int:
    return sum(call.special for call in calls_of(run, *inputs))


def test_special_functions_are_one_for_each_that_the_definition_asks_for() -> None:
    x = torch.ones(4, 6)
    assert special(torch.exp, x) == special(F.gelu, x) == special(torch.sigmoid_, x.clone()) == 24
    assert special(lambda x: x.softmax(-1), x) == 24
    assert special(torch.mm, x, x.T) == special(torch.add, x, x) == 0
    q, k = torch.ones(2, 3, 5, 8), torch.ones(2, 3, 7, 8)
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.FLASH_ATTENTION):
        assert special(F.scaled_dot_product_attention, q, k, k) == 2 * 3 * 5 * 7


def test_vigbench_s_operators_bring_their_own_counts() -> None:
    """GLA: a decay for each key channel and direction. Scan: one for each state, the gate's, two for each step."""
    q, v, g = torch.ones(1, 5, 2, 4), torch.ones(1, 5, 2, 8), -torch.ones(1, 5, 2, 4)
    assert special(lambda: bidirectional_gla(q, q, v, g, g)) == 2 * 5 * 2 * 4
    u, a, b = torch.ones(1, 5, 6), -torch.ones(6, 16), torch.ones(1, 5, 16)
    assert special(lambda: selective_scan(u, u, a, b, b, z=u, delta_softplus=True)) == 5 * 6 * 16 + 3 * 5 * 6


def test_composite_operators_are_taken_apart() -> None:
    names = [call.name for call in calls_of(F.linear, torch.ones(3, 4), torch.ones(5, 4), torch.ones(5))]
    assert "aten::addmm" in names
    assert "aten::linear" not in names
    with torch.inference_mode():
        names = [call.name for call in calls_of(F.linear, torch.ones(3, 4), torch.ones(5, 4), torch.ones(5))]
    assert "aten::addmm" in names
    assert "aten::linear" not in names


def test_views_and_unfilled_memory_move_nothing() -> None:
    x = torch.ones(4, 6)
    assert moved(lambda x: x.t().reshape(6, 4)[1:].unsqueeze(0).expand(3, 5, 4).detach(), x) == 0
    assert moved(lambda: torch.empty(1000)) == 0
    assert moved(lambda: torch.zeros(1000)) == 4000


def test_an_argument_changed_in_place_is_read_and_written_and_a_copys_target_written_only() -> None:
    x, y = torch.ones(100), torch.ones(100)
    assert moved(lambda x, y: x.add_(y), x, y) == 3 * 400
    assert moved(lambda x, y: x.copy_(y), x, y) == 2 * 400
    assert moved(lambda x: x.zero_(), x) == 400
    assert moved(lambda x, y: torch.add(x, y, out=torch.empty(100)), x, y) == 3 * 400


def test_broadcast_dimensions_and_repeated_arguments_count_once() -> None:
    x = torch.ones(1, 10).expand(1000, 10)
    assert moved(lambda x: x + 1, x) == 4 * (10 + 10_000)
    y = torch.ones(50)
    assert moved(lambda y: y * y, y) == 2 * 200


@given(st.integers(1, 3), st.booleans())
@settings(max_examples=12)
def test_the_backward_of_a_grouped_convolution_costs_twice_its_forward(batch: int, transposed: bool) -> None:
    layer = (torch.nn.ConvTranspose2d if transposed else torch.nn.Conv2d)(6, 6, 3, stride=2, groups=6, padding=1)
    images = torch.randn(batch, 6, 9, 9, requires_grad=True)
    calls = calls_of(lambda x: layer(x).sum().backward(), images)
    flops = {call.name: call.flops for call in calls if call.flops}
    assert flops["aten::convolution_backward"] == 2 * flops["aten::convolution"]


def test_the_backward_of_a_first_convolution_has_no_gradient_of_the_image() -> None:
    layer = torch.nn.Conv2d(3, 4, 3)
    calls = calls_of(lambda x: layer(x).sum().backward(), torch.randn(1, 3, 8, 8))
    flops = {call.name: call.flops for call in calls if call.flops}
    assert flops["aten::convolution_backward"] == flops["aten::convolution"]


def test_a_sparse_factor_counts_as_a_dense_one_and_moves_nothing_that_is_seen() -> None:
    x, y = torch.eye(4).to_sparse(), torch.ones(4, 3)
    calls = calls_of(torch.sparse.mm, x, y)
    assert sum(call.flops for call in calls) == 2 * 4 * 4 * 3
    assert all(call.known for call in calls)
