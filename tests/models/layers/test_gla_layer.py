"""The GLA layer against golden values: its output, and the gradients of its input and of every weight."""

import numpy as np
import pytest
import torch

from tests.models.conftest import GOLDEN
from vigbench.models.layers.gla import GLALayer

FILE = GOLDEN / "golden-gla-layer.npz"


@pytest.mark.parametrize("implementation", ["torch_chunk", "reference"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_it_computes_the_golden_values(implementation: str, dtype: torch.dtype, tolerance: float) -> None:
    golden = {key: torch.from_numpy(value) for key, value in np.load(FILE).items()}
    layer = GLALayer(heads=2, key_dim=12, value_dim=24)
    layer.load_state_dict({key: golden[key] for key in layer.state_dict()}, strict=True)
    layer.to(dtype).set_implementation(implementation)
    x = golden["x"].to(dtype).requires_grad_()
    y = layer(x)
    y.backward(golden["do"].to(dtype))
    found = {"y": y.detach(), "dx": x.grad, **{f"d{name}": p.grad for name, p in layer.named_parameters()}}
    assert golden.keys() - found.keys() == {"x", "do", *layer.state_dict()}, "every golden value is compared"
    for name, value in found.items():
        assert value is not None
        error = (value.double() - golden[name]).abs().max() / golden[name].abs().max()
        assert error < tolerance, name
