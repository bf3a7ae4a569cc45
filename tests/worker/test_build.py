"""A batch is what a task has to make, or the case ends with what is wrong."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch

from vigbench.subjects.factory import FactoryError
from vigbench.subjects.image import ImageTask
from vigbench.subjects.task import Task
from vigbench.suites.case import Case
from vigbench.worker.build import make_inputs

CASE = Case(subject="package:net", resolution=32)


def task_of(made: Any) -> Task:
    class Odd(ImageTask):
        name = "odd"

        def make_inputs(self, case: Case) -> Mapping[str, torch.Tensor]:
            return made  # type: ignore[no-any-return]

    return Odd()


def test_tensors_by_name_are_a_batch() -> None:
    batch = {"x": torch.zeros(1), "y": torch.zeros(1, dtype=torch.int64)}
    assert make_inputs(CASE, task_of(batch)) is batch


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (torch.zeros(1), "has to give tensors by name, and gave Tensor"),
        ([torch.zeros(1)], r"and gave list \(Tensor\)"),
        ({"x": [1, 2]}, r"and gave dict \(list\)"),
        ({}, "and gave dict"),
        (None, "and gave NoneType"),
        ({"x": torch.zeros(1), "y": torch.zeros(1, device="meta")}, "its tensors on cpu; y is elsewhere"),
    ],
)
def test_anything_else_is_a_mistake(made: Any, message: str) -> None:
    with pytest.raises(FactoryError, match=rf"'package:net': `make_inputs` of its task odd .*{message}"):
        make_inputs(CASE, task_of(made))
