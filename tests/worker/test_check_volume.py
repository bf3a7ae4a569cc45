"""The gate of networks for volumes: every output of the mode that is measured, and every code beside the plain one."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from vigbench.subjects.catalog import build_case
from vigbench.subjects.volume import VolumeTask
from vigbench.suites.case import Case
from vigbench.worker.build import build_on_device
from vigbench.worker.check_subject import CheckResult, WrongResultError, check

TASK = VolumeTask()
NARROW = '{"feature_size": 4}'


def case_of(**settings: Any) -> Case:
    usual = {"subject": "glims", "implementation": "sdpa", "resolution": 32, "args": NARROW, "threads": 1}
    return Case(**{**usual, **settings})


def judged(case: Case, change: Callable[[nn.Module], None] = lambda model: None) -> CheckResult:
    model = build_on_device(case)
    change(model)
    return check(model, case, TASK, "attention", TASK.make_inputs(case))


def spoil(name: str) -> Callable[[nn.Module], None]:
    """What one module gives is a twentieth too large, but not in a copy of the model."""

    def change(model: nn.Module) -> None:
        own = model.get_submodule(name)
        own.register_forward_hook(lambda module, args, out: out * 1.05 if module is own else out)

    return change


def test_the_gate_compares_all_four_logits_in_training() -> None:
    pytest.importorskip("monai")
    training = case_of(phase="training")
    right = judged(training)
    assert right.error is not None
    assert right.gradient_error is not None
    assert max(right.error, right.gradient_error) < 1e-3
    assert right.size == {"resolution": 32}
    with pytest.raises(WrongResultError, match=r"output 4 with sdpa differs from the reference by 5\.0e-02"):
        judged(training, spoil("out4"))
    judged(case_of(), spoil("out4"))  # nobody asks for it
    with pytest.raises(WrongResultError, match="differs from the reference"):
        judged(case_of(), spoil("t3.layer.blocks.1.attn.proj"))


@pytest.mark.parametrize("resolution", ["24x40x32", 20, "32x64x48"])
def test_of_a_scan_one_window_is_compared_however_small_the_scan(resolution: int | str) -> None:
    pytest.importorskip("monai", minversion="1.6")
    windows = case_of(phase="sliding_window", resolution=resolution, roi=32)
    found = judged(windows)
    assert found.error is not None
    assert found.size == {"resolution": 32}
    with pytest.raises(WrongResultError, match="differs from the reference"):
        judged(windows, spoil("t3.layer.blocks.1.attn.proj"))


def test_dilated_convolutions_of_another_code_are_compared_with_the_plain_one() -> None:
    plain, other = (case_of(implementation="eager", args=args) for args in (NARROW, ""))
    assert judged(plain).error == 0.0, "it is the reference"
    model = build_case(plain).eval()
    for module in model.modules():
        if hasattr(module, "use_reference"):
            module.implementation = "triton_fused"
    assert not TASK.is_reference(model, other, "attention")
    twin, dtype = TASK.reference(model, "attention")
    assert dtype == torch.float32
    assert TASK.is_reference(twin, other, "attention")
    codes = {module.implementation for module in twin.modules() if hasattr(module, "use_reference")}
    assert codes == {"reference"}
    assert not TASK.is_reference(model, other, "attention"), "the case's own is left as it is"
