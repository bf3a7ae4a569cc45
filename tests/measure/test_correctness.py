import math

import pytest
import torch

from vigbench.measure.correctness import gradient_error, is_finite, relative_error


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


def test_the_worst_gradient_is_named() -> None:
    reference = {"a": torch.ones(4), "b": 2 * torch.ones(9)}
    error, name = gradient_error({"a": torch.ones(4), "b": 2.2 * torch.ones(9)}, reference)
    assert (name, error) == ("b", pytest.approx(0.1))


def test_a_gradient_that_is_zero_but_for_rounding_is_judged_on_the_scale_of_the_others() -> None:
    reference = {"weight": torch.ones(10), "bias": 1e-9 * torch.ones(10)}
    error, _ = gradient_error({"weight": torch.ones(10), "bias": -1e-9 * torch.ones(10)}, reference)
    assert error < 1e-6
    error, name = gradient_error({"weight": torch.ones(10), "bias": 1e-2 * torch.ones(10)}, reference)
    assert (name, error) == ("bias", pytest.approx(1.0))


def test_a_missing_or_infinite_gradient_is_no_small_error() -> None:
    with pytest.raises(ValueError, match="gradient for b"):
        gradient_error({"a": torch.ones(1)}, {"a": torch.ones(1), "b": torch.ones(1)})
    assert gradient_error({"a": torch.tensor([float("nan")])}, {"a": torch.ones(1)}) == (float("inf"), "a")


def test_outputs_that_are_no_fractions_or_empty_are_compared() -> None:
    labels = torch.tensor([3, 5])
    assert relative_error(labels, labels) == 0.0
    assert relative_error(torch.tensor([3, 4]), labels) == pytest.approx(0.2)
    assert relative_error(labels > 3, labels > 3) == 0.0
    assert relative_error(torch.zeros(0, 4), torch.zeros(0, 4)) == 0.0, "as boxes where nothing is found"


def test_the_gradient_of_one_number_is_judged_on_the_scale_of_the_largest() -> None:
    reference = {"weight": torch.ones(10), "bias": 0.1 * torch.ones(10), "slope": torch.tensor([0.1])}
    slope_off = {**reference, "slope": torch.tensor([0.11])}
    assert gradient_error(slope_off, reference) == (pytest.approx(0.01), "slope")
    bias_off = {**reference, "bias": 0.11 * torch.ones(10)}
    assert gradient_error(bias_off, reference) == (pytest.approx(0.1), "bias")
    larger = {**reference, "slope": torch.tensor([4.0])}
    assert gradient_error({**larger, "slope": torch.tensor([4.4])}, larger) == (pytest.approx(0.1), "slope"), "itself"
