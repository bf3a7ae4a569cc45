"""The first call of a model: what it cannot take is said in words that fit, and what it must not do is found."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn.parameter import is_lazy

from vigbench.measure.memory import is_out_of_memory
from vigbench.ops.attention.refusal import is_refusal
from vigbench.ops.registry import UnsupportedError
from vigbench.subjects.factory import FactoryError, in_one_line
from vigbench.subjects.task import Inputs, Result, Task
from vigbench.suites.axes import Precision
from vigbench.suites.case import Case
from vigbench.worker.build import build_on_device

OTHER_SIDES = (224, 256, 384, 32)  # px at which a model that refuses one size is tried
CHANGES_INPUT = "{subject} changes its input in place, so that each call would get another one; clone it in forward."
NOT_TRAINED = "No gradient reaches a parameter of {subject}: measure it with --phase inference."
ONE_VALUE = (
    "{subject} normalises over its batch in training, which takes more than one value for each channel: choose a "
    "larger --batch-size."
)
# what a model says of inputs that it does not take; other exceptions are faults of its code
_REFUSALS = (RuntimeError, ValueError, AssertionError, IndexError, NotImplementedError)
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
    before = {name: tensor.detach().clone() for name, tensor in inputs.items()}
    try:
        result = task.result(model, inputs, case.phase.trains)
    except Exception as error:
        refused = _why_refused(error, model, case, task, inputs)
        if refused is None:
            raise
        raise UnsupportedError(refused) from error
    if not all(torch.equal(_bits(tensor), _bits(before[name])) for name, tensor in inputs.items()):
        raise UnsupportedError(CHANGES_INPUT.format(subject=case.subject))
    return result


@contextmanager
def unchanged(case: Case, inputs: Inputs) -> Iterator[None]:
    """UnsupportedError if what runs inside has changed an input in place, by torch's own count of such changes."""
    before = {name: tensor._version for name, tensor in inputs.items()}
    yield
    if any(tensor._version != before[name] for name, tensor in inputs.items()):
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


def require_values(model: nn.Module, case: Case) -> None:
    """Raise UnsupportedError if a tensor of the model has no values: on the meta device, fake, or not made yet."""
    for name, tensor in tensors_of(model):
        if is_lazy(tensor):
            raise UnsupportedError(
                f"{case.subject} has layers that take their size from a first input ({name}): call the model once in "
                "its factory, with an input of the right shape."
            )
        if tensor.is_meta or isinstance(tensor, FakeTensor):
            raise UnsupportedError(
                f"{case.subject} has a tensor without values ({name}, on the meta device): build it on the CPU, or "
                "load its weights in its factory."
            )


def tensors_of(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters, buffers, and what else its modules hold as attributes or in plain containers, each with its name."""
    for where, module in model.named_modules():
        for name, value in _named(vars(module)):
            yield f"{where}.{name}".lstrip("."), value


def _named(holder: Any, depth: int = 3) -> Iterator[tuple[str, Tensor]]:
    entries = holder.items() if isinstance(holder, Mapping) else enumerate(holder)
    for name, value in list(entries):
        if isinstance(value, Tensor):
            yield str(name), value
        elif depth and isinstance(value, dict | list | tuple) and name not in ("_modules",):
            prefix = "" if name in ("_parameters", "_buffers") else f"{name}."
            yield from ((f"{prefix}{inner}", tensor) for inner, tensor in _named(value, depth - 1))


def _bits(tensor: Tensor) -> Tensor:
    """As whole numbers, so that NaN equals itself."""
    return tensor.detach().contiguous().view(torch.uint8) if tensor.numel() and tensor.ndim else tensor.detach()


def _why_refused(error: Exception, model: nn.Module, case: Case, task: Task, inputs: Inputs) -> str | None:
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
    if case.precision is not Precision.float32 and _runs(_in_float32(case), task):
        return f"{case.subject} cannot run in {case.precision} on this device: {said}"
    if not isinstance(error, _REFUSALS):
        return None
    if channels := re.search(r"to have (\d+) channels, but got (\d+) channels", str(error)):
        takes, got = channels.groups()
        return (
            f"{case.subject} takes images of {takes} channel{'s' * (takes != '1')} and is fed {got}: build it for "
            f"{got}, or say so in a suite, args: {{in_chans: {takes}}}."
        )
    if case.resolution is not None and _takes_another_size(model, case, task):
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


def _in_float32(case: Case) -> Callable[[], tuple[nn.Module, Case]]:
    alone = case.model_copy(update={"precision": Precision.float32, "batch_size": 1})
    return lambda: (build_on_device(alone).eval(), alone)


def _takes_another_size(model: nn.Module, case: Case, task: Task) -> bool:
    sides = (side for side in OTHER_SIDES if side != case.resolution)
    others = (case.model_copy(update={"resolution": side, "batch_size": 1}) for side in sides)
    return any(_runs(partial(_pair, model, other), task) for other in others)


def _pair(model: nn.Module, case: Case) -> tuple[nn.Module, Case]:
    return model, case


def _runs(build: Callable[[], tuple[nn.Module, Case]], task: Task) -> bool:
    """Whether a model takes the inputs of a case."""
    try:
        model, case = build()
        with torch.inference_mode():
            task.call(model, task.make_inputs(case))
    except Exception:
        return False
    return True
