"""From logits to ranks, and from ranks to top-1 and top-5."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from vigbench.measure.accuracy import RANKS, Score, ranked_classes, score
from vigbench.records import accuracy as files

# few different values, so that ties are common
batches = arrays.arrays(
    np.float32, st.tuples(st.integers(1, 6), st.integers(1, 12)), elements=st.sampled_from([-2.0, -0.5, 0.0, 0.5, 3.0])
)


@given(logits=batches)
def test_ranks_are_by_falling_logit_and_then_by_index(logits: np.ndarray) -> None:
    expected = [sorted(range(len(row)), key=lambda i: (-row[i], i))[:RANKS] for row in logits.tolist()]
    assert ranked_classes(torch.from_numpy(logits)) == [tuple(row) for row in expected]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_an_image_with_a_logit_that_is_not_finite_has_no_ranks(bad: float, dtype: torch.dtype) -> None:
    logits = torch.tensor([[0.0, 1.0, 2.0], [0.0, bad, 2.0]], dtype=dtype)
    assert ranked_classes(logits) == [(2, 1, 0), ()]


@pytest.mark.parametrize("shape", [(3,), (1, 3, 2)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="are not"):
        ranked_classes(torch.zeros(shape))


@given(st.lists(st.tuples(st.integers(0, 9), st.permutations(range(10)), st.booleans()), min_size=1))
def test_counts_are_those_of_the_definition(answers: list[tuple[int, list[int], bool]]) -> None:
    given_ranks = [(label, order[:RANKS] if ranked else []) for label, order, ranked in answers]
    found = score(given_ranks)
    assert found == Score(
        images=len(answers),
        first=sum(ranked and order.index(label) == 0 for label, order, ranked in answers),
        among_five=sum(ranked and order.index(label) < 5 for label, order, ranked in answers),
        not_finite=sum(not ranked for *_, ranked in answers),
    )
    assert found.top1.share * found.images == pytest.approx(found.first)
    assert found.top1.share <= found.top5.share


def test_the_files_have_a_column_for_each_rank() -> None:
    assert files.RANKS == RANKS
