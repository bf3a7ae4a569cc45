"""What an operator is said to cost and to take is what its own code counts and holds."""

import pytest

from vigbench.measure.cost import count_cost
from vigbench.subjects.catalog import resolve_implementations
from vigbench.subjects.operators import OPERATORS
from vigbench.suites.case import Case
from vigbench.worker.operator import build_operator


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize(("length", "heads", "dim"), [(5, 1, 8), (64, 3, 16)])
def test_multiply_adds_and_inputs_are_those_of_the_operator_s_own_code(
    name: str, length: int, heads: int, dim: int
) -> None:
    (implementation,) = resolve_implementations(name, [], "cpu")
    case = Case(
        subject=name,
        implementation=implementation,
        length=length,
        heads=heads,
        key_dim=dim,
        value_dim=dim,
        batch_size=2,
    )
    operator = build_operator(case)
    subject = OPERATORS[name]
    # torch's formula counts attention's scores in full, whatever its mask
    whole = OPERATORS["attention"] if subject.causal else subject
    assert 2 * whole.macs(length, heads, dim, dim) == count_cost(operator, (0,)).macs
    elements = sum(parameter.numel() for parameter in operator.parameters())
    assert 2 * length * subject.input_elements(heads, dim, dim) == elements


def test_attention_with_narrow_keys_costs_by_definition() -> None:
    # scores: L L K, their product with v: L L V, for each head
    assert OPERATORS["attention"].macs(10, 2, 3, 5) == 2 * 10 * 10 * (3 + 5)


def test_causal_attention_counts_the_pairs_that_there_are() -> None:
    pairs = sum(1 for token in range(10) for seen in range(10) if seen <= token)
    assert OPERATORS["causal_attention"].macs(10, 2, 3, 5) == 2 * pairs * (3 + 5)
