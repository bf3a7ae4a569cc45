"""Multiply-adds: those of the definition, whatever computes them, and those that are executed."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.ops.gsa.inputs import sample
from tests.ops.test_cost import IN_PLACE
from vigbench.ops.cost import EXECUTED_FLOPS, SPECIAL_FUNCTIONS
from vigbench.ops.dispatch import load_operator
from vigbench.ops.gla import cost as gla_cost
from vigbench.ops.gsa import bidirectional_gsa, gsa
from vigbench.ops.gsa.torch_chunk import _backward, _forward
from vigbench.ops.registry import get_implementation, get_operator

LENGTH, HEADS, KEY, VALUE, SLOTS = 128, 3, 16, 24, 8
OWN = [one.name for one in get_operator("gsa").implementations if one.own]


def counted(implementation: str, ways: int = 2, executed: bool = False) -> tuple[int, int]:
    """Multiply-adds of a forward and a backward pass."""
    get_implementation("gsa", implementation).load()  # a counter knows only what is defined before it starts
    q, v, g = (torch.empty(1, LENGTH, HEADS, d, device="meta", requires_grad=True) for d in (KEY, VALUE, SLOTS))
    counters = [FlopCounterMode(display=False, custom_mapping=EXECUTED_FLOPS if executed else None) for _ in range(2)]
    with counters[0]:
        if ways == 2:
            o = bidirectional_gsa(q, q, v, g, g, g, g, implementation=implementation)
        else:
            o = gsa(q, q, v, g, g, reverse=True, implementation=implementation)
    with counters[1]:
        o.sum().backward()
    forward, backward = (counter.get_total_flops() // 2 for counter in counters)
    return forward, backward


@pytest.mark.parametrize("ways", [1, 2])
@pytest.mark.parametrize("implementation", [*OWN, "fla"])
def test_every_multiply_of_both_recurrences_counts_once(implementation: str, ways: int) -> None:
    pytest.importorskip("triton")
    defined = ways * 3 * LENGTH * HEADS * SLOTS * (KEY + VALUE)
    assert counted(implementation, ways) == (defined, 2 * defined)


def test_the_subject_has_as_many_slots_as_key_channels() -> None:
    (subject,) = get_operator("gsa").subjects
    assert subject.macs(LENGTH, HEADS, KEY, VALUE) == 2 * 3 * LENGTH * HEADS * KEY * (KEY + VALUE)


def test_products_of_the_chunks_are_as_published() -> None:
    """C (K + 2 M + V) + 2 M (K + V) a token, and what decays cost: 4 M for either pass, and states once a chunk."""
    products = 64 * (KEY + 2 * SLOTS + VALUE) + 2 * SLOTS * (KEY + VALUE)
    decays = 8 * SLOTS + SLOTS * (KEY + VALUE) // 64
    assert counted("torch_chunk", 1, executed=True)[0] == LENGTH * HEADS * (products + decays)


def test_executed_products_are_those_that_run() -> None:
    *inputs, grad = sample("as initialised", (2, 200, HEADS), KEY, VALUE, SLOTS)
    k, v, s = (x.shape for x in inputs[1:4])
    with FlopCounterMode(display=False, custom_mapping=IN_PLACE) as counter:
        _forward(*inputs, 1.0)
    of_keys, of_values = (gla_cost.chunk_products(s, s, x, s, None) for x in (k, v))
    assert counter.get_total_flops() == 2 * 2 * (of_keys + of_values)
    with FlopCounterMode(display=False, custom_mapping=IN_PLACE) as counter:
        _backward(grad, *inputs, 1.0)
    gradients = sum(gla_cost.chunk_products_backward(x, s, s, x, s, None) for x in (k, v))
    assert counter.get_total_flops() == 2 * 2 * (2 * of_keys + gradients)


def test_a_backward_executes_more_than_it_has_to() -> None:
    for name in ("torch_chunk", "reference"):
        (_, defined), (_, executed) = counted(name), counted(name, executed=True)
        assert executed > defined


def test_a_decay_and_a_softmax_s_exponential_for_each_slot() -> None:
    q, v, s = ((1, LENGTH, HEADS, d) for d in (KEY, VALUE, SLOTS))
    special = SPECIAL_FUNCTIONS[load_operator("gsa", "torch_chunk")]
    assert special(q, q, v, s, s, s, s, 1.0) == 2 * 2 * LENGTH * HEADS * SLOTS
