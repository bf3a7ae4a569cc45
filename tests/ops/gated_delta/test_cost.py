"""Multiply-adds: those of the definition, whatever computes them, and those that are executed."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.ops.gated_delta.inputs import sample
from tests.ops.test_cost import IN_PLACE
from vigbench.ops.cost import EXECUTED_FLOPS, SPECIAL_FUNCTIONS
from vigbench.ops.dispatch import load_operator
from vigbench.ops.gated_delta import bidirectional_gated_delta, gated_delta
from vigbench.ops.gated_delta.cost import chunk_products, chunk_products_backward
from vigbench.ops.gated_delta.torch_chunk import _backward, _forward
from vigbench.ops.registry import get_implementation, get_operator

LENGTH, HEADS, KEY, VALUE = 200, 3, 16, 24
DECLARED = get_operator("gated_delta")
OWN = [one.name for one in DECLARED.implementations if one.own]


def counted(implementation: str, ways: int = 2, executed: bool = False, dim: int = KEY) -> tuple[int, int]:
    """Multiply-adds of a forward and a backward pass."""
    get_implementation("gated_delta", implementation).load()  # a counter knows only what is defined before it starts
    value = VALUE if dim == KEY else dim
    q, v = (torch.empty(1, LENGTH, HEADS, d, device="meta", requires_grad=True) for d in (dim, value))
    g = torch.empty(1, LENGTH, HEADS, device="meta", requires_grad=True)
    counters = [FlopCounterMode(display=False, custom_mapping=EXECUTED_FLOPS if executed else None) for _ in range(2)]
    with counters[0]:
        if ways == 2:
            o = bidirectional_gated_delta(q, q, v, g, g, g, g, implementation=implementation)
        else:
            o = gated_delta(q, q, v, g, g, reverse=True, implementation=implementation)
    with counters[1]:
        o.sum().backward()
    forward, backward = (counter.get_total_flops() // 2 for counter in counters)
    return forward, backward


@pytest.mark.parametrize("ways", [1, 2])
@pytest.mark.parametrize("implementation", [*OWN, "fla"])
def test_every_multiply_of_the_recurrence_counts_once(implementation: str, ways: int) -> None:
    pytest.importorskip("triton")
    defined = ways * LENGTH * HEADS * (4 * KEY * VALUE + VALUE)
    assert counted(implementation, ways) == (defined, 2 * defined)


def test_a_peer_for_one_shape_is_counted_with_that_one() -> None:
    defined = 2 * LENGTH * HEADS * (4 * 128 * 128 + 128)
    assert counted("flash_qla", dim=128) == (defined, 2 * defined)


@pytest.mark.parametrize("subject", DECLARED.subjects, ids=lambda one: str(one.name))
def test_subjects_count_the_same(subject: object) -> None:
    macs = subject.macs(LENGTH, HEADS, KEY, VALUE)  # type: ignore[attr-defined]
    assert macs == counted("reference", subject.directions)[0]  # type: ignore[attr-defined]


@pytest.mark.parametrize("ways", [1, 2])
def test_executed_products_are_those_that_run(ways: int) -> None:
    *inputs, grad = sample("as initialised", (2, 200, HEADS), KEY, VALUE)
    given = [x if ways == 2 or n not in (4, 6) else None for n, x in enumerate(inputs)]
    shapes = [None if x is None else x.shape for x in given]
    with FlopCounterMode(display=False, custom_mapping=IN_PLACE) as counter:
        _forward(*given, 1.0)
    assert counter.get_total_flops() == 2 * chunk_products(*shapes)
    with FlopCounterMode(display=False, custom_mapping=IN_PLACE) as counter:
        _backward(grad, *given, 1.0)
    assert counter.get_total_flops() == 2 * chunk_products_backward(grad.shape, *shapes)


def test_a_recurrence_executes_what_is_defined() -> None:
    defined = 2 * LENGTH * HEADS * (4 * KEY * VALUE + VALUE)
    forward, backward = counted("reference", executed=True)
    assert forward == defined
    assert backward > 2 * defined


@pytest.mark.parametrize("implementation", ["torch_chunk", "triton_fused"])
def test_chunks_execute_more(implementation: str) -> None:
    pytest.importorskip("triton")
    defined, executed = counted(implementation), counted(implementation, executed=True)
    assert all(one > other for one, other in zip(executed, defined, strict=True))


def test_an_exponential_for_each_decay() -> None:
    *inputs, _ = sample("as initialised", (2, 50, HEADS), KEY, VALUE)
    special = SPECIAL_FUNCTIONS[load_operator("gated_delta", "torch_chunk")]
    assert special(*(x.shape for x in inputs), 1.0) == 2 * 2 * 50 * HEADS
