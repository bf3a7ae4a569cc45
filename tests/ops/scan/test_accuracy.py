"""Any step sizes, any length: outputs and gradients to 2e-6 in float32 and 1e-11 in float64."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ops.scan.samples import NAMES, REGIMES, Sizes, by_steps, errors, evaluate, sample
from vigbench.ops.scan import bidirectional_selective_scan, selective_scan

GOLDEN = Path(__file__).parents[2] / "golden" / "golden-selective-scan.npz"
ALLOWED = {torch.float32: 2e-6, torch.float64: 1e-11}


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("implementation", ["reference", "torch_chunk"])
def test_golden_outputs_and_gradients(implementation: str, reverse: bool) -> None:
    golden = {key: torch.from_numpy(x).double() for key, x in np.load(GOLDEN).items()}  # channels before tokens
    inputs = [golden[name].mT if golden[name].ndim == 3 else golden[name] for name in NAMES[1:]]
    prefix = "rev" if reverse else "fwd"
    expected = [golden[f"{prefix}/out"], *(golden[f"{prefix}/d{name}"] for name in NAMES[1:])]
    found = evaluate(selective_scan, inputs, golden["do"].mT, True, reverse, implementation)
    for x, y in zip(found, expected, strict=True):
        assert ((x.mT if x.ndim == 3 else x) - y).abs().max() <= 1e-12 * max(1, y.abs().max())


@pytest.mark.parametrize("implementation", ["reference", "torch_chunk"])
def test_golden_mean_of_both_directions(implementation: str) -> None:
    golden = {key: torch.from_numpy(x).double() for key, x in np.load(GOLDEN).items()}
    inputs = {name: golden[name].mT if golden[name].ndim == 3 else golden[name] for name in NAMES[1:]}
    both = {name: x if name == "z" else torch.stack([x, x]) for name, x in inputs.items()}
    found = bidirectional_selective_scan(**both, delta_softplus=True, implementation=implementation)
    assert (found.mT - golden["bidir/out"]).abs().max() <= 1e-12


def test_the_reference_is_the_definition() -> None:
    inputs = [
        x.double()[0] if i != 6 else x.double() for i, x in enumerate(sample("no initial bias", Sizes(1, 2, 9, 3, 4)))
    ]
    grad = torch.randn(2, 9, 3, dtype=torch.float64)
    found = evaluate(selective_scan, inputs, grad, True, False, "reference")
    assert max(errors(found, evaluate(by_steps, inputs, grad)).values()) <= 1e-13


@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize("dtype", ALLOWED)
def test_torch_chunk_in_every_regime(regime: str, dtype: torch.dtype) -> None:
    inputs = [x.to(dtype) for x in sample(regime, Sizes(2, 2, 133, 5, 4))]
    grad = torch.randn(2, 133, 5, dtype=dtype)
    found = evaluate(bidirectional_selective_scan, inputs, grad, True, "torch_chunk")
    expected = evaluate(bidirectional_selective_scan, [x.double() for x in inputs], grad.double(), True, "reference")
    assert max(errors(found, expected).values()) <= ALLOWED[dtype], errors(found, expected)


SIZES = st.builds(Sizes, st.just(1), st.integers(1, 3), st.integers(1, 80), st.integers(1, 6), st.integers(1, 5))


@settings(max_examples=40)
@given(sizes=SIZES, reverse=st.booleans(), optional=st.booleans(), regime=st.sampled_from([*REGIMES]))
def test_any_shape(sizes: Sizes, reverse: bool, optional: bool, regime: str) -> None:
    inputs = sample(regime, sizes, optional=optional)
    inputs = [x if x is None or i == 6 else x[0] for i, x in enumerate(inputs)]
    if not optional:
        inputs[1] = torch.nn.functional.softplus(inputs[1])
    grad = torch.randn(*sizes[1:4])
    found = evaluate(selective_scan, inputs, grad, optional, reverse, "torch_chunk")
    doubles = [None if x is None else x.double() for x in inputs]
    expected = evaluate(selective_scan, doubles, grad.double(), optional, reverse, "reference")
    names = NAMES if optional else NAMES[:6]
    assert max(errors(found, expected, names).values()) <= 1e-4  # a gradient of e**-100 in all has 100 roundings


@pytest.mark.slow
@pytest.mark.parametrize("length", [1021, 4097])
def test_long_sequences_in_float32(length: int) -> None:
    inputs = sample("as initialised", Sizes(2, 1, length, 8, 16))
    grad = torch.randn(1, length, 8)
    found = evaluate(bidirectional_selective_scan, inputs, grad, True, "torch_chunk")
    expected = evaluate(bidirectional_selective_scan, [x.double() for x in inputs], grad.double(), True, "torch_chunk")
    assert max(errors(found, expected).values()) <= 2e-6
