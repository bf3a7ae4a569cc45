import math

import pytest
import torch

from vigbench.measure.correctness import is_finite, relative_error


def test_error_is_relative_to_the_largest_reference_value() -> None:
    reference = torch.tensor([4.0, -1.0])
    assert relative_error(torch.tensor([4.0, -0.5]), reference) == pytest.approx(0.125)
    assert relative_error(reference, reference) == 0


def test_nan_is_never_close() -> None:
    assert math.isinf(relative_error(torch.tensor([math.nan]), torch.tensor([1.0])))
    assert not is_finite(torch.tensor([1.0, math.inf]))


def test_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2,\).*\(3,\)"):
        relative_error(torch.ones(2), torch.ones(3))
