"""The first call of a model: what it cannot take is said in words that fit, and what it must not do is found."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from vigbench.measure.memory import is_out_of_memory
from vigbench.ops.attention.refusal import is_refusal
from vigbench.ops.registry import UnsupportedError
from vigbench.subjects.factory import FactoryError, in_one_line
from vigbench.subjects.task import Inputs, Result, Task
from vigbench.suites.axes import Precision
from vigbench.suites.case import Case
from vigbench.worker.build import build_on_device
from vigbench.worker.values import require_values

CHANGES_INPUT = "{subject} changes its input in place, so that each call would get another one; clone it in forward."
NOT_TRAINED = "No gradient reaches a parameter of {subject}: measure it with --phase inference."
ONE_VALUE = (
    "{subject} normalises over its batch in training, which takes more than one value for each channel: choose a "
    "larger --batch-size."
)
# what a model says of inputs that it does not take; other exceptions are faults of its code
_REFUSALS = (RuntimeError, ValueError, AssertionError, IndexError, NotImplementedError)
IN_FLOAT32 = {"precision": Precision.float32, "batch_size": 1}
_OURS = (UnsupportedError, FactoryError)


def first_result(model: nn.Module, case: Case, task: Task, inputs: Inputs) -> Result:
    """What the model computes of some inputs, for the first time.

    Args:
        model: the case's, on its device; in eval mode.
        case: what is to be measured.
        task: what it takes and gives.
        inputs: of the whole batch or a part of it.

    Raises:
        UnsupportedError: if it cannot run with these inputs, or changes them; the message says why and what to do.
        Exception: whatever else its code raises.
    """
    require_values(model, case)
    with unchanged(case, inputs):
        try:
            return task.result(model, inputs, case.phase.trains)
        except Exception as error:
            refused = _why_refused(error, case, task, inputs)
            if refused is None:
                raise
            raise UnsupportedError(refused) from error


@contextmanager
def unchanged(case: Case, inputs: Inputs) -> Iterator[None]:
    """UnsupportedError if what runs inside has changed an input in place."""
    before = {name: _fingerprint(tensor) for name, tensor in inputs.items()}
    yield
    if any(_fingerprint(tensor) != before[name] for name, tensor in inputs.items()):
        raise UnsupportedError(CHANGES_INPUT.format(subject=case.subject))


@contextmanager
def training_explained(case: Case) -> Iterator[None]:
    """What torch says inside of a model that cannot be trained so, as an UnsupportedError with advice."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        if reason := _why_not_trained(error, case):
            raise UnsupportedError(reason) from error
        raise


def _fingerprint(tensor: Tensor) -> tuple[int, int]:
    """torch's own count of changes, which `tensor.data` and numpy do not raise, and the sum of all bytes; no copy."""
    storage = torch.empty(0, dtype=torch.uint8, device=tensor.device).set_(tensor.untyped_storage())
    return tensor._version, int(storage.sum(dtype=torch.int64))


def _why_refused(error: Exception, case: Case, task: Task, inputs: Inputs) -> str | None:
    """Why the model cannot be measured so, and what to do; None where that is not what the error says."""
    if isinstance(error, _OURS) or is_out_of_memory(error) or is_refusal(error):
        return None
    said = in_one_line(error)
    if isinstance(error, TypeError) and (missing := re.search(r"missing \d+ required .*argument.*", str(error))):
        return (
            f"{case.subject} is called with {len(inputs)} input{'s' * (len(inputs) > 1)}, and its forward is "
            f"{missing[0]}: name a factory whose module makes the others, or give it a task that does."
        )
    if case.phase.trains and (reason := _why_not_trained(error, case)):
        return reason
    if case.precision is not Precision.float32 and _runs(case.model_copy(update=IN_FLOAT32), task):
        return f"{case.subject} cannot run in {case.precision} on this device: {said}"
    if not isinstance(error, _REFUSALS):
        return None
    if channels := re.search(r"to have (\d+) channels, but got (\d+) channels", str(error)):
        takes, got = channels.groups()
        return (
            f"{case.subject} takes images of {takes} channel{'s' * (takes != '1')} and is fed {got}: build it for "
            f"{got}, or say so in a suite, args: {{in_chans: {takes}}}."
        )
    if case.resolution is not None and _takes_another_size(case, task):
        return f"{case.subject} does not take {case.extent_text}: {said}"
    shapes = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in inputs.items())
    return f"{case.subject} does not run on its inputs ({shapes}): {said}"


def _why_not_trained(error: Exception, case: Case) -> str:
    words = str(error)
    if "does not require grad" in words:
        return NOT_TRAINED.format(subject=case.subject)
    if "Expected more than 1 value per channel when training" in words:
        return ONE_VALUE.format(subject=case.subject)
    if "leaf Variable that requires grad" in words and "in-place" in words:
        return CHANGES_INPUT.format(subject=case.subject)
    return ""


def _takes_another_size(case: Case, task: Task) -> bool:
    sides = (side for side in task.other_sides if side != case.built_for)
    others = (case.model_copy(update={**case.ALONE, "resolution": side}) for side in sides)
    return any(_runs(other, task) for other in others)


def _runs(case: Case, task: Task) -> bool:
    """Whether a case's model takes its inputs."""
    try:
        model = build_on_device(case).eval()
        with torch.inference_mode():
            task.call(model, task.make_inputs(case))
    except Exception:
        return False
    return True
