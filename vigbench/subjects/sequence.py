"""The task of an operator that is measured on its own: sequences of tokens."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vigbench.ops.declaration import Input, OperatorInfo, OperatorSubject, load_target
from vigbench.ops.registry import UnsupportedError, get_implementation, get_operator
from vigbench.subjects.operators import OPERATORS
from vigbench.subjects.sharding import Sharding, TokenSharding
from vigbench.subjects.task import DTYPES, SEED, Inputs, Probe, Result, Task
from vigbench.suites.axes import MemoryFormat, Phase
from vigbench.suites.case import Case
from vigbench.suites.shape import Shape

OUTPUT_GRADIENT = "output_gradient"


class OperatorCall(nn.Module):
    """An operator as a network without weights: takes a subject's inputs, gives (batch, length, heads, value_dim)."""

    def __init__(self, subject: OperatorSubject, implementation: str, scale: float) -> None:
        super().__init__()
        self.subject, self.implementation, self.scale = subject, implementation, scale
        # found here: a look-up in a call would break torch.compile's graph
        self.compute: Callable[..., Tensor]
        if subject.call:
            self.compute = partial(load_target(subject.call), implementation=implementation)
        else:
            plain = get_implementation(subject.operator, implementation).load()
            self.compute = partial(plain, scale=scale, causal=subject.causal)

    def forward(self, *inputs: Tensor) -> Tensor:
        """The operator's output, dtype of v."""
        return self.compute(*inputs)


@dataclass(frozen=True)
class SequenceTask(Task):
    """An operator's inputs, such as q, k and v, (batch, length, heads, dim); in training the output's gradient, too.

    They lie in the inputs, not in weights: there is nothing to train but them.
    """

    subject: OperatorSubject

    name = "sequence"
    unit = "sequence"
    axes = ("length", "shape")
    gradient_measure = "largest"
    phases = (Phase.inference, Phase.training)  # there are no weights to update

    @property
    def declared(self) -> OperatorInfo:
        """What is known of the operator."""
        return get_operator(self.subject.operator)

    @property
    def tolerance(self) -> Mapping[str, float]:  # type: ignore[override]
        """The operator's, of output and each gradient."""
        return self.declared.tolerance

    @property
    def gradient_tolerance(self) -> Mapping[str, float]:  # type: ignore[override]
        """The same."""
        return self.declared.tolerance

    def require_axes(self, subject: str, given: Collection[str]) -> None:
        if set(given) != set(self.axes):
            raise ValueError(
                f"{subject} is an operator: give it --length and --shape, and no resolution, as suite kernels-gla does."
            )

    def require(self, case: Case) -> None:
        if case.memory_format is not MemoryFormat.contiguous:
            raise ValueError(f"{case.memory_format} is a layout of images: leave it out for an operator.")
        super().require(case)

    def build(self, case: Case) -> OperatorCall:
        """The operator with the scale of its heads."""
        return OperatorCall(self.subject, case.implementation, _shape(case).key_dim ** -0.5)

    def make_inputs(self, case: Case) -> Inputs:
        """Standard normal numbers, spread as the subject's inputs say."""
        shape, length = _shape(case), _length(case)
        device = case.device.value  # drawn there: a long batch would take a CPU many seconds
        generator = torch.Generator(device).manual_seed(SEED)
        inputs = {each.name: _drawn(each, case, generator) for each in self.subject.inputs}
        if case.phase.trains:
            size = (case.batch_size, length, shape.heads, shape.value_dim)
            of_gradient = torch.Generator(device).manual_seed(SEED + 1)
            inputs[OUTPUT_GRADIENT] = torch.randn(size, generator=of_gradient, device=device)
        dtype = DTYPES[case.precision]
        inputs = {name: tensor.to(dtype) for name, tensor in inputs.items()}
        return self.leaves(inputs) if case.phase.trains else inputs

    def arguments(self, inputs: Inputs) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return tuple(tensor for name, tensor in inputs.items() if name != OUTPUT_GRADIENT), {}

    def start_of_backward(self, returned: Any, inputs: Inputs) -> Any:
        return returned

    def backward(self, returned: Any, inputs: Inputs) -> None:
        returned.backward(inputs[OUTPUT_GRADIENT])

    def leaves(self, inputs: Inputs) -> Inputs:
        return {name: tensor.detach().requires_grad_(name != OUTPUT_GRADIENT) for name, tensor in inputs.items()}

    def macs(self, case: Case) -> int:
        return self.subject.macs(_length(case), *_shape(case))

    def executed_macs(self, case: Case, counted: int) -> int:
        # torch's formula of fused attention knows no mask; above the diagonal all but part of a block is skipped
        materialises = get_implementation(self.subject.operator, case.implementation).materialises
        skips = self.subject.causal and not materialises
        return self.macs(case) if skips else counted

    def bytes_moved(self, case: Case) -> tuple[int, int]:
        shape = _shape(case)
        number = DTYPES[case.precision].itemsize * case.batch_size * _length(case)
        return number * self.subject.input_elements(*shape), number * shape.heads * shape.value_dim

    def checked(self, inputs: Inputs) -> Inputs:
        return inputs

    def item(self, inputs: Inputs, number: int = 0) -> Inputs:
        return self._cut(inputs, number, 0, None)

    def _cut(self, inputs: Inputs, sequence: int, first: int, end: int | None) -> Inputs:
        """Some tokens of one sequence, and what all tokens share."""
        return {
            name: (tensor if name in self._shared else tensor[sequence : sequence + 1, first:end]).detach().clone()
            for name, tensor in inputs.items()
        }

    def _last_from(self, result: Result, token: int) -> Result:
        """Of the last sequence what begins at a token, without gradients of what all tokens share."""
        outputs, gradients = (
            {name: tensor[-1:, token:] for name, tensor in part.items() if name not in self._shared} for part in result
        )
        return outputs, gradients

    @property
    def _shared(self) -> set[str]:
        return {each.name for each in self.subject.inputs if not each.per_token}

    def largest_checked(self, case: Case, operator: str) -> float:
        assert self.declared.longest is not None, (
            "an operator that is a subject says how long a sequence its reference takes"
        )
        return self.declared.longest.of(case.phase.trains)

    def probe(
        self,
        model: nn.Module,
        case: Case,
        inputs: Inputs,
        extent: float,
        build: Callable[[Case], nn.Module],
    ) -> Probe:
        """The first tokens of one sequence."""
        length = int(extent)
        return Probe(f"{length} tokens", {"length": length}, model, self._cut(inputs, 0, 0, length))

    def probes_of_whole(self, model: nn.Module, case: Case, inputs: Inputs, whole: Result) -> list[Probe]:
        """The last tokens of the last sequence, of which what lies before the window has no part left."""
        length, margin = _length(case), self.subject.memory
        if margin is None:
            return []  # its tokens depend on all others
        first = max(0, length - 2 * margin)
        settled = margin if first > 0 else 0
        return [
            Probe(
                f"the end of the last sequence, {case.extent_text}",
                {"length": length},
                model,
                self._cut(inputs, case.batch_size - 1, first, length),
                found=self._last_from(whole, first + settled),
                compared=lambda result: self._last_from(result, settled),
            )
        ]

    def reference(self, model: nn.Module, operator: str) -> tuple[nn.Module, torch.dtype]:
        assert isinstance(model, OperatorCall)
        twin = OperatorCall(self.subject, self.declared.reference, model.scale)
        return twin, getattr(torch, self.declared.reference_dtype)

    def sharding(self, model: nn.Module, case: Case) -> Sharding:
        assert isinstance(model, OperatorCall)
        if not self.subject.over_ranks:
            return super().sharding(model, case)
        if (by := self.subject.over_ranks_by) and case.implementation != by:
            raise UnsupportedError(f"{by} alone computes {case.subject} over ranks: choose --implementation {by}.")
        if _length(case) < case.ranks:
            raise UnsupportedError(f"{case.extent_text} are fewer than {case.ranks} ranks: choose a longer sequence.")
        return TokenSharding(self.subject, case, model.scale)


def _shape(case: Case) -> Shape:
    assert case.shape is not None
    return case.shape


def _length(case: Case) -> int:
    assert case.length is not None
    return case.length


def _drawn(each: Input, case: Case, generator: torch.Generator) -> Tensor:
    """An input of the whole batch."""
    sizes = _shape(case)._asdict()
    size = each.shape(sizes)
    if each.per_token:
        size = (case.batch_size, _length(case), *size)
    x = torch.randn(size, generator=generator, device=case.device.value)
    if each.drawn:
        x = load_target(each.drawn)(x)
    missing = sizes[each.filled] - size[-1] if each.filled else 0
    return F.pad(x, (0, missing)) if missing > 0 else x


SEQUENCES = {name: SequenceTask(subject) for name, subject in OPERATORS.items()}
