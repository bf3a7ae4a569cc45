"""Operators that are measured on their own, beside models, and their task: sequences of tokens."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vigbench.ops.gla import bidirectional_gla, bidirectional_gla_from_logits, gla
from vigbench.ops.registry import get_implementation
from vigbench.subjects.task import DTYPES, SEED, Inputs, Probe, Result, Task
from vigbench.suites.axes import MemoryFormat, Phase
from vigbench.suites.case import Case
from vigbench.suites.shape import Shape

DECAY_DIVISOR = 16.0  # of ViG's log-decays: logsigmoid(x) / 16
MATERIALISED = ("eager", "sdpa_math")  # compute every score, those above a causal diagonal too
REFERENCES = {"gla": ("reference", torch.float64), "attention": ("eager", torch.float32)}
# The largest whose reference takes seconds: GLA's 0.2 ms a token on a GPU, five times that with gradients; attention's
# holds all scores in memory.
LONGEST = {
    "gla": {Phase.inference: 16384, Phase.training: 4096},
    "attention": {Phase.inference: 4096, Phase.training: 4096},
}
OUTPUT_GRADIENT = "output_gradient"
WINDOW, MARGIN = 2048, 1024  # tokens; over the margin, decays of -0.05 a token leave e**-50 of a state


@dataclass(frozen=True)
class OperatorSubject:
    """An operator as a subject.

    Attributes:
        operator: in the registry of implementations.
        directions: in which the sequence is scanned, each with log-decays of its own; 0: every token sees every other.
        causal: of attention: whether a token sees only itself and those before it.
        logits: whether log-decays are computed in the call, logsigmoid(logits) / 16, as a model has to.
    """

    name: str
    operator: str
    directions: int
    description: str
    logits: bool = False
    causal: bool = False

    @cached_property
    def task(self) -> SequenceTask:
        """What it takes."""
        return SequenceTask(self)

    @property
    def decays(self) -> tuple[str, ...]:
        """The names of its log-decays, or of their logits."""
        return ((), ("g",), ("g_fwd", "g_bwd"))[self.directions]

    def macs(self, length: int, heads: int, key_dim: int, value_dim: int) -> int:
        """Multiply-adds of one sequence, forward, by the counting rule of docs/measurement.md."""
        if self.directions == 0:
            pairs = length * (length + 1) // 2 if self.causal else length * length
            return heads * pairs * (key_dim + value_dim)
        return 3 * self.directions * heads * length * key_dim * value_dim

    def input_elements(self, heads: int, key_dim: int, value_dim: int) -> int:
        """Numbers in q, k, v and the log-decays, for one token."""
        return heads * ((2 + self.directions) * key_dim + value_dim)


class OperatorCall(nn.Module):
    """An operator as a network without weights, of tensors (batch, length, heads, dim).

    Takes q, k, v and a log-decay, or its logit, for each direction; gives (batch, length, heads, value_dim) like v.
    """

    def __init__(self, subject: OperatorSubject, implementation: str, scale: float) -> None:
        super().__init__()
        self.subject, self.implementation, self.scale = subject, implementation, scale
        # found here: a look-up in a call would break torch.compile's graph
        self.attend: Callable[..., Any] | None = None
        if subject.directions == 0:
            self.attend = get_implementation(subject.operator, implementation).load()

    def forward(self, q: Tensor, k: Tensor, v: Tensor, *decays: Tensor) -> Tensor:
        """scale * (sum over the directions, or over all pairs)."""
        if self.attend is not None:
            out: Tensor = self.attend(q, k, v, self.scale, self.subject.causal)
            return out
        if self.subject.directions == 1:
            return gla(q, k, v, decays[0], self.scale, implementation=self.implementation)
        both = (q, k, v, decays[0], decays[1])
        if self.subject.logits:
            return bidirectional_gla_from_logits(*both, DECAY_DIVISOR, self.scale, self.implementation)
        return bidirectional_gla(*both, self.scale, self.implementation)


@dataclass(frozen=True)
class SequenceTask(Task):
    """q, k, v and log-decays (batch, length, heads, dim); in training also the gradient of the output.

    They lie in the inputs, not in weights: there is nothing to train but them.
    """

    subject: OperatorSubject

    name = "sequence"
    unit = "sequence"
    axes = ("length", "shape")
    gradient_measure = "largest"

    def require_axes(self, subject: str, given: Collection[str]) -> None:
        if set(given) != set(self.axes):
            raise ValueError(
                f"{subject} is an operator: give it --length and --shape, and no resolution, as suite kernels-gla does."
            )

    def require(self, case: Case) -> None:
        if case.memory_format is not MemoryFormat.contiguous:
            raise ValueError(f"{case.memory_format} is a layout of images: leave it out for an operator.")
        if case.phase is Phase.training_step:
            raise ValueError("An operator has no weights to update: measure its phase training instead.")

    def build(self, case: Case) -> OperatorCall:
        """The operator with the scale of its heads."""
        return OperatorCall(self.subject, case.implementation, _shape(case).key_dim ** -0.5)

    def make_inputs(self, case: Case) -> Inputs:
        """q, k, v standard normal, log-decays logsigmoid(normal) / 16, as ViG's are before training.

        Fused attention takes equal dims only: narrower ones are filled up with zeros there, which change no product.
        """
        shape, length, subject = _shape(case), _length(case), self.subject
        device = case.device.value  # drawn there: a long batch would take a CPU many seconds
        generator = torch.Generator(device).manual_seed(SEED)

        def normal(dim: int, generator: torch.Generator = generator) -> Tensor:
            size = (case.batch_size, length, shape.heads, dim)
            return torch.randn(size, generator=generator, device=device)

        tensors = [normal(dim) for dim in (shape.key_dim, shape.key_dim, shape.value_dim)]
        logits = [normal(shape.key_dim) for _ in range(subject.directions)]
        tensors += logits if subject.logits else [F.logsigmoid(x) / DECAY_DIVISOR for x in logits]
        if subject.directions == 0 and shape.key_dim < shape.value_dim:
            tensors[:2] = [F.pad(x, (0, shape.value_dim - shape.key_dim)) for x in tensors[:2]]
        inputs = dict(zip(("q", "k", "v", *subject.decays), tensors, strict=True))
        if case.phase.trains:
            inputs[OUTPUT_GRADIENT] = normal(shape.value_dim, torch.Generator(device).manual_seed(SEED + 1))
        dtype = DTYPES[case.precision]
        inputs = {name: one.to(dtype) for name, one in inputs.items()}
        return self.leaves(inputs) if case.phase.trains else inputs

    def arguments(self, inputs: Inputs) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return tuple(one for name, one in inputs.items() if name != OUTPUT_GRADIENT), {}

    def start_of_backward(self, returned: Any, inputs: Inputs) -> Any:  # noqa: ARG002
        return returned

    def backward(self, returned: Any, inputs: Inputs) -> None:
        returned.backward(inputs[OUTPUT_GRADIENT])

    def leaves(self, inputs: Inputs) -> Inputs:
        return {name: one.detach().requires_grad_(name != OUTPUT_GRADIENT) for name, one in inputs.items()}

    def macs(self, case: Case) -> int:
        return self.subject.macs(_length(case), *_shape(case))

    def executed_macs(self, case: Case, counted: int) -> int:
        # torch's formula of fused attention knows no mask; above the diagonal all but part of a block is skipped
        skips = self.subject.causal and case.implementation not in MATERIALISED
        return self.macs(case) if skips else counted

    def bytes_moved(self, case: Case) -> tuple[int, int]:
        shape = _shape(case)
        number = DTYPES[case.precision].itemsize * case.batch_size * _length(case)
        return number * self.subject.input_elements(*shape), number * shape.heads * shape.value_dim

    def checked(self, inputs: Inputs) -> Inputs:
        return inputs

    def largest_checked(self, case: Case, operator: str) -> float:
        return LONGEST[operator][case.phase]

    def probe(
        self,
        model: nn.Module,
        case: Case,  # noqa: ARG002
        inputs: Inputs,
        extent: float,
        build: Callable[[Case], nn.Module],  # noqa: ARG002
    ) -> Probe:
        """The first tokens of one sequence."""
        length = int(extent)
        return Probe(f"{length} tokens", {"length": length}, model, _cut(inputs, 0, 0, length))

    def probes_of_whole(self, model: nn.Module, case: Case, inputs: Inputs, whole: Result) -> list[Probe]:
        """The last tokens of the last sequence, of which what lies before the window has no part left."""
        if self.subject.directions == 0:
            return []  # every token of attention depends on every other
        length = _length(case)
        first = max(0, length - WINDOW)
        settled = MARGIN if first > 0 else 0
        return [
            Probe(
                f"the end of the last sequence, {case.extent_text}",
                {"length": length},
                model,
                _cut(inputs, case.batch_size - 1, first, length),
                found=_last_from(whole, first + settled),
                compared=lambda result: _last_from(result, settled),
            )
        ]

    def reference(self, model: nn.Module, operator: str) -> tuple[nn.Module, torch.dtype]:
        assert isinstance(model, OperatorCall)
        name, dtype = REFERENCES[operator]
        return OperatorCall(self.subject, name, model.scale), dtype


def _shape(case: Case) -> Shape:
    assert case.shape is not None
    return case.shape


def _length(case: Case) -> int:
    assert case.length is not None
    return case.length


def _cut(inputs: Inputs, sequence: int, first: int, end: int) -> Inputs:
    return {name: one.detach()[sequence : sequence + 1, first:end].clone() for name, one in inputs.items()}


def _last_from(result: Result, token: int) -> Result:
    """Of the last sequence what begins at a token."""
    outputs, gradients = ({name: one[-1:, token:] for name, one in part.items()} for part in result)
    return outputs, gradients


OPERATORS = {
    one.name: one
    for one in (
        OperatorSubject("gla", "gla", 2, "bidirectional gated linear attention"),
        OperatorSubject("gla_from_logits", "gla", 2, "the same from the logits of its gates", logits=True),
        OperatorSubject("gla_one_direction", "gla", 1, "gated linear attention from the first token to the last"),
        OperatorSubject("attention", "attention", 0, "softmax attention of every token with every other"),
        OperatorSubject(
            "causal_attention", "attention", 0, "softmax attention of every token with those before it", causal=True
        ),
    )
}
