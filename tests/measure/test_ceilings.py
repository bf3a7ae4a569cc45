import pytest
import torch

from vigbench.measure import ceilings
from vigbench.measure.ceilings import copy_gb_per_s, product_tflop_per_s

CPU = torch.device("cpu")


def test_a_copy_counts_what_is_read_and_what_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ceilings.COPY_BYTES, "cpu", 5 * 10**6)
    monkeypatch.setattr(ceilings, "_shortest", lambda call, device: 0.01)
    assert copy_gb_per_s(CPU) == pytest.approx(2 * 5e6 / 1e9 / 0.01)


def test_a_product_counts_two_operations_for_each_multiply_add(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ceilings.PRODUCT_SIDE, "cpu", 100)
    monkeypatch.setattr(ceilings, "_shortest", lambda call, device: 0.5)
    assert product_tflop_per_s(CPU, torch.float32) == pytest.approx(2 * 100**3 / 1e12 / 0.5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_both_are_really_run(monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype) -> None:
    monkeypatch.setitem(ceilings.COPY_BYTES, "cpu", 2**20)
    monkeypatch.setitem(ceilings.PRODUCT_SIDE, "cpu", 64)
    monkeypatch.setattr(ceilings, "LEAST_S", 0.01)
    assert copy_gb_per_s(CPU) > 0
    assert product_tflop_per_s(CPU, dtype) > 0


def test_the_fastest_of_several_calls_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    durations = iter([9.0, 3.0, 1.0, 2.0])  # the first one warms up
    monkeypatch.setattr(ceilings, "timed", lambda call, synchronize: lambda: next(durations))
    monkeypatch.setattr(ceilings, "LEAST_S", 0.0)
    assert ceilings._shortest(lambda: None, CPU) == 1.0
