"""Memory by module and over time, against sizes that are known."""

from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor, nn

from tests.measure.profiled import profile_of, subject_of
from vigbench.measure.memory import MIB, measure_memory

pytestmark = pytest.mark.slow


class Allocates(nn.Module):
    """Fills so many MiB, and gives back a part of them."""

    def __init__(self, mib: int, kept: int) -> None:
        super().__init__()
        self.mib, self.kept = mib, kept

    def forward(self, x: Tensor) -> list[Tensor]:
        filled = [torch.ones(MIB // 4) for _ in range(self.mib)]
        return filled[: self.kept]


class Holds(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.small, self.large = Allocates(3, 1), Allocates(8, 2)

    def forward(self, x: Tensor) -> list[Tensor]:
        return [*self.small(x), *self.large(x)]


def test_bytes_of_a_module_are_exact(tmp_path: Path) -> None:
    use = profile_of(tmp_path, Holds(), torch.ones(1)).memory
    found = {path: (m.allocated, m.kept, m.peak_growth) for path, m in use.modules.items()}
    assert found["small"] == (3 * MIB, 1 * MIB, 3 * MIB)
    assert found["large"] == (8 * MIB, 2 * MIB, 8 * MIB)
    assert found[""] == (11 * MIB, 3 * MIB, 9 * MIB)
    assert use.peak is not None
    assert (use.peak.live, use.peak.module, use.peak.operator) == (9 * MIB, "large", "aten::empty")
    assert use.operators["aten::empty"] == 11 * MIB
    assert sum(one.change for one in use.moments) == use.moments[-1].live == 3 * MIB


@pytest.mark.parametrize("train", [False, True])
def test_the_peak_of_the_timeline_is_that_of_the_memory_pass(train: bool, tmp_path: Path) -> None:
    model = timm.create_model("vig_tiny_patch16_224", depth=2)
    inputs = torch.randn(1, 3, 64, 64)
    peak = profile_of(tmp_path, model, inputs, train=train).memory.peak
    assert peak is not None
    measured = measure_memory(subject_of(model, inputs, train=train).call, model, inputs)
    assert peak.live == pytest.approx(measured.activations, rel=0.01)
    assert peak.backward == train


def test_an_iteration_that_allocates_nothing_has_no_peak(tmp_path: Path) -> None:
    use = profile_of(tmp_path, nn.Identity(), torch.ones(1)).memory
    assert use.peak is None
    assert use.moments == ()
