"""What is fused around ViG's operator as it is compiled for a GPU, run on the CPU in bfloat16 (see tests/ptx)."""

import pytest

pytest.importorskip("triton")

import torch
from torch import Tensor

from tests.ptx.simulate import simulated
from vigbench.measure.operator_check import poisoned_memory
from vigbench.ops.declaration import load_target
from vigbench.ops.norm_swiglu import settings
from vigbench.ops.registry import get_operator
from vigbench.ops.sample import Sample

OPERATORS = ("conv_norm", "norm_conv", "gated_projection", "norm_swiglu")


def evaluated(sample: Sample, implementation: str, dtype: torch.dtype) -> list[Tensor]:
    """The output and all gradients."""
    leaves = [None if x is None else x.detach().to(dtype).requires_grad_() for x in sample.inputs]
    out = sample.run(implementation, *leaves)
    grads = torch.autograd.grad(out, [x for x in leaves if x is not None], sample.grad.to(dtype))
    return [out.detach(), *grads]


@pytest.mark.parametrize(
    ("capability", "name"),
    [
        (90, "gated_projection"),
        *(pytest.param(90, name, marks=pytest.mark.slow) for name in OPERATORS if name != "gated_projection"),
        *(pytest.param(80, name, marks=pytest.mark.slow) for name in OPERATORS),
    ],
)
def test_as_defined_in_bfloat16(capability: int, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "capability_of", lambda _: f"{capability // 10}.{capability % 10}")
    monkeypatch.setattr(settings, "settings_for", settings.settings_for.__wrapped__)  # which keeps what it found
    operator = get_operator(name)
    for sample in load_target(operator.samples)(torch.device("cpu"), torch.bfloat16):
        expected = evaluated(sample, operator.reference, torch.float64)
        with poisoned_memory(), simulated(capability):
            found = evaluated(sample, "triton_fused", torch.bfloat16)
        for x, y in zip(found, expected, strict=True):
            assert (x.double() - y).abs().max() <= operator.tolerance["bfloat16"] * y.abs().max(), sample.name
