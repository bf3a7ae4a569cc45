"""Any keys, any decays, any length: outputs and gradients to 1e-6 in float32 and 1e-11 in float64."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.ops.biwkv.inputs import CASES, assert_close, differentiated, doubled, sample
from vigbench.ops.biwkv import bi_wkv
from vigbench.ops.biwkv import reference as by_definition
from vigbench.ops.biwkv.reference import reference
from vigbench.ops.biwkv.torch_scan import torch_scan

GOLDEN = Path(__file__).parents[2] / "golden" / "golden-biwkv.npz"
IMPLEMENTATIONS = ("reference", "torch_scan")
ALLOWED = {torch.float32: 1e-6, torch.float64: 1e-11}


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_golden(implementation: str) -> None:
    golden = {key: torch.from_numpy(x).double() for key, x in np.load(GOLDEN).items()}
    inputs = [golden[key] for key in ("w", "u", "k", "v", "gy")]
    found = differentiated(partial(bi_wkv, implementation=implementation), inputs)
    for x, key in zip(found, ("y", "gw", "gu", "gk", "gv"), strict=True):
        assert (x - golden[key]).abs().max() <= 1e-9, key


def test_reference_is_the_formula_token_by_token() -> None:
    w, u, k, v, _ = sample("as trained", (1, 6, 3), torch.float64)
    expected = torch.empty_like(v)
    for t in range(6):
        logits = torch.stack([k[0, i] + u if i == t else k[0, i] - w * (abs(t - i) - 1) for i in range(6)])
        expected[0, t] = (torch.softmax(logits, 0) * v[0]).sum(0)
    torch.testing.assert_close(reference(w, u, k, v), expected, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("elements", [1, 100, 2000])
def test_blocks_do_not_change_the_reference(elements: int, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = sample("as trained", (2, 20, 7), torch.float64)
    expected = differentiated(reference, inputs)
    monkeypatch.setattr(by_definition, "BLOCK_ELEMENTS", elements)
    assert_close(differentiated(reference, inputs), expected, 1e-14)


@pytest.mark.parametrize("dtype", ALLOWED)
@pytest.mark.parametrize("length", [1, 2, 3, 63, 65, 300])
@pytest.mark.parametrize("case", CASES)
def test_every_case(case: str, length: int, dtype: torch.dtype) -> None:
    inputs = sample(case, (2, length, 6), dtype)
    assert_close(differentiated(torch_scan, inputs), differentiated(reference, doubled(inputs)), ALLOWED[dtype])


@pytest.mark.parametrize("case", CASES)
def test_reference_is_a_yardstick_in_float32(case: str) -> None:
    inputs = sample(case, (1, 50, 4))
    assert_close(differentiated(reference, inputs), differentiated(reference, doubled(inputs)), 1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_long_sequences(case: str) -> None:
    inputs = sample(case, (1, 4099, 3))
    assert_close(differentiated(torch_scan, inputs), differentiated(reference, doubled(inputs)), 2e-6)


@settings(max_examples=40)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 200), st.integers(1, 9)),
    decay=st.floats(-50, 50),
    bonus=st.floats(-50, 50),
    spread=st.floats(0, 1e4),
    seed=st.integers(0, 1000),
)
def test_any_shape_and_size(shape: tuple[int, int, int], decay: float, bonus: float, spread: float, seed: int) -> None:
    w, u, k, v, grad = sample("no decay", shape, torch.float64, seed)
    inputs = [w + decay, u + bonus, spread * k, v, grad]
    exponent = float(inputs[2].abs().max()) + shape[1] * float(inputs[0].abs().max())
    rounding = 64 * torch.finfo(torch.float64).eps * exponent  # of exponents: relative to what they are powers of
    assert_close(differentiated(torch_scan, inputs), differentiated(reference, inputs), max(1e-11, rounding))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_without_decay_all_tokens_get_the_same(implementation: str) -> None:
    _, _, k, v, _ = sample("no decay", (2, 40, 3), torch.float64)
    y = bi_wkv(torch.zeros(3).double(), torch.zeros(3).double(), k, v, implementation)
    torch.testing.assert_close(y, (torch.softmax(k, 1) * v).sum(1, keepdim=True).expand_as(y))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_symmetries(implementation: str) -> None:
    """The order of tokens may be reversed, and keys may all grow by the same."""
    w, u, k, v, _ = sample("as trained", (2, 50, 5), torch.float64)

    def run(k: Tensor, v: Tensor) -> Tensor:
        return bi_wkv(w, u, k, v, implementation)

    torch.testing.assert_close(run(k.flip(1), v.flip(1)).flip(1), run(k, v), rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(run(k + 64, v), run(k, v), rtol=1e-12, atol=1e-14)
