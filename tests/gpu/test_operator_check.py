"""What `vigbench check` does, on a GPU: every implementation and precision that can run there."""

import pytest
import torch

from vigbench.measure.operator_check import PRECISIONS, check_implementation
from vigbench.ops.registry import UnsupportedError, get_implementation, get_operator
from vigbench.runner.check import units
from vigbench.worker.check_unit import NOT_REPEATED, Unit

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


@pytest.mark.parametrize("unit", units(), ids=lambda unit: unit.name)
def test_as_defined(unit: Unit) -> None:
    implementation = get_implementation(unit.operator, unit.implementation)
    if reason := implementation.unsupported_reason("cuda", PRECISIONS[unit.precision]):
        pytest.skip(reason)
    try:
        found = check_implementation(get_operator(unit.operator), implementation, unit.precision, torch.device("cuda"))
    except UnsupportedError as error:
        pytest.skip(str(error))
    assert found.passed, found
    assert found.repeats or not implementation.repeatable, NOT_REPEATED
