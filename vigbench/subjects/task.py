"""A task: what a subject takes for a size and what it gives, so that one code measures subjects of every kind."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from vigbench.nearest import one_of
from vigbench.ops.registry import UnsupportedError, get_operator
from vigbench.subjects.implementations import use_implementation
from vigbench.subjects.sharding import Sharding
from vigbench.suites.axes import AXES, MemoryFormat, Phase
from vigbench.suites.case import Case
from vigbench.suites.resolution import sides_of

SEED = 0
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
MEMORY_FORMATS = {
    MemoryFormat.contiguous: torch.contiguous_format,
    MemoryFormat.channels_last: torch.channels_last,
}

Measure = Literal["norm", "largest"]
Inputs = Mapping[str, Tensor]
Gradients = Mapping[str, Tensor]
Result = tuple[Mapping[str, Tensor], Gradients]
"""Outputs by name; in training the gradients of parameters and inputs by name."""


@dataclass(frozen=True)
class Probe:
    """A part of what a case computes, small enough for its reference.

    Attributes:
        where: it is, in words.
        checked_at: its size: axis -> value.
        model, inputs: what computes it.
        found: what the case's own call gave for it; None: it has to be run.
        compared: what of a result counts.
    """

    where: str
    checked_at: Mapping[str, Any]
    model: nn.Module
    inputs: Inputs
    found: Result | None = None
    compared: Callable[[Result], Result] = lambda result: result


class Task(ABC):
    """What is common to all subjects of one kind. A factory names another task than images as its attribute `task`.

    Attributes:
        name: of the kind.
        unit: what one item of a batch is called: throughput counts these.
        axes: that say how large a case is.
        dimensions: sides of a resolution.
        size_words: what they are, in order.
        tolerance, gradient_tolerance: largest error beside a reference, as a share of the largest value, by precision.
        output_measure, gradient_measure: whether an error is that of the norm or that of the largest entry.
        phases: in which it can be measured.
        usual_resolution: where nobody says one.
        other_sides: at which a model that refuses one size is tried.
        layouts: torch's name of each memory format.
    """

    name: ClassVar[str]
    unit: ClassVar[str]
    axes: ClassVar[tuple[str, ...]] = ("resolution",)
    dimensions: ClassVar[int] = 2
    size_words: ClassVar[str] = "height x width"
    tolerance: ClassVar[Mapping[str, float]] = {"float32": 1e-3, "bfloat16": 1e-1, "float16": 2e-2}
    # gradients pass through every layer twice; over a whole image they sum, so that single entries are mostly rounding
    gradient_tolerance: ClassVar[Mapping[str, float]] = {"float32": 1e-3, "bfloat16": 3e-1, "float16": 1e-1}
    output_measure: ClassVar[Measure] = "largest"
    gradient_measure: ClassVar[Measure] = "norm"
    phases: ClassVar[tuple[Phase, ...]] = (Phase.inference, Phase.training, Phase.training_step)
    usual_resolution: ClassVar[int] = 224
    other_sides: ClassVar[tuple[int, ...]] = (224, 240, 256, 384, 192, 32)
    layouts: ClassVar[Mapping[MemoryFormat, torch.memory_format]] = MEMORY_FORMATS

    @abstractmethod
    def make_inputs(self, case: Case) -> Inputs:
        """The inputs of a whole batch by name, seeded, on the case's device, floating ones in its precision."""

    def require_axes(self, subject: str, given: Collection[str]) -> None:
        """Raise ValueError, with advice, unless these axes of size are those of the task."""
        if set(given) != set(self.axes):
            options = " and ".join(AXES[name].option for name in self.axes)
            raise ValueError(f"{subject} is measured on {self.unit}s of a size: give it {options}, and no other size.")

    def require(self, case: Case) -> None:
        """Raise ValueError, with advice, if a case makes no sense for the task."""
        if case.phase not in self.phases:
            raise ValueError(
                f"{case.subject} has no phase {case.phase}: {self.unit}s are measured in {one_of(self.phases)}."
            )
        if case.resolution is not None:
            try:
                sides_of(case.resolution, self.dimensions)
            except ValueError as error:
                raise ValueError(f"{case.subject} takes {self.unit}s, {self.size_words}: {error}.") from error

    def build(self, case: Case) -> nn.Module | None:
        """What a case measures, where the task builds it; None: the catalog does, by the subject's name."""
        return None

    def arguments(self, inputs: Inputs) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """How a model is called with them: positional and named arguments; by default in their order."""
        return tuple(inputs.values()), {}

    def call(self, model: Callable[..., Any], inputs: Inputs) -> Any:
        """One forward pass; returns what the model does."""
        positional, named = self.arguments(inputs)
        return model(*positional, **named)

    def iterate(self, model: Callable[..., Any], inputs: Inputs, case: Case) -> Any:
        """One iteration of a phase without a backward pass: by default one forward pass."""
        assert not case.phase.trains
        return self.call(model, inputs)

    def outputs(self, returned: Any) -> Mapping[str, Tensor]:
        """What a model returned as tensors by name, however deep they lie; UnsupportedError where there is none."""
        named = dict(leaves_of(returned))
        if not named:
            raise UnsupportedError(
                f"The model returns {kind_of(returned)}, and no tensor in it: give its factory a task whose `outputs` "
                "finds them."
            )
        return named

    def loss(self, returned: Any, inputs: Inputs) -> Tensor:
        """The loss of the training phases: by default the mean square of each output that has a gradient, in float32.

        Raises:
            UnsupportedError: if none has.
        """
        trained = [output for output in self.outputs(returned).values() if output.is_floating_point()]
        squares = [output.float().square().mean() for output in trained if output.numel()]
        if not squares:
            raise UnsupportedError("No output of the model is a number that can be trained: measure --phase inference.")
        return squares[0] if len(squares) == 1 else torch.stack(squares).sum()

    def start_of_backward(self, returned: Any, inputs: Inputs) -> Any:
        """What holds the graph of a forward pass that is to be trained on: by default the loss."""
        return self.loss(returned, inputs)

    def backward(self, returned: Any, inputs: Inputs) -> None:
        """The backward pass: gradients of the parameters, and of the inputs that require them."""
        self.loss(returned, inputs).backward()  # type: ignore[no-untyped-call, unused-ignore]

    def item(self, inputs: Inputs, number: int = 0) -> Inputs:
        """One item of a batch, as a batch of its own."""
        return {name: x[number : number + 1] for name, x in inputs.items()}

    def leaves(self, inputs: Inputs) -> Inputs:
        """The same values as leaves whose gradients are wanted, where they can have any."""
        return {name: x.detach().requires_grad_() if x.is_floating_point() else x for name, x in inputs.items()}

    def result(self, model: nn.Module, inputs: Inputs, trains: bool) -> Result:
        """Outputs and, in training, all gradients, which are gone from the model afterwards."""
        if not trains:
            with torch.inference_mode():
                return self.outputs(self.call(model, inputs)), {}
        inputs = self.leaves(inputs)
        model.zero_grad(set_to_none=True)
        returned = self.call(model, inputs)
        self.backward(returned, inputs)
        found = gradients_of(model, inputs)
        model.zero_grad(set_to_none=True)
        return {name: output.detach() for name, output in self.outputs(returned).items()}, found

    def items(self, case: Case) -> int:
        """Items in a batch, of which rates and costs are: by default its entries."""
        return case.batch_size

    def voxels(self, case: Case) -> int | None:
        """Voxels of the whole batch; None where items have none."""
        return None

    def macs(self, case: Case) -> int | None:
        """Multiply-adds of one item by the definition; None: the model is counted."""
        return None

    def executed_macs(self, case: Case, counted: int) -> int:
        """Multiply-adds that are really executed, of what was counted for one item."""
        return counted

    def masked_macs(self, case: Case) -> int:
        """Multiply-adds of one entry of a batch that counting sees and a causal mask takes away: by default none."""
        return 0

    def bytes_moved(self, case: Case) -> tuple[int, int] | None:
        """Bytes of inputs and outputs of the whole batch that a call has to move; None where nobody says that."""
        return None

    def checked(self, inputs: Inputs) -> Inputs:
        """What of a batch is looked at for values that are not finite."""
        return self.item(inputs)

    def largest_checked(self, case: Case, operator: str) -> float:
        """The largest extent at which the reference takes seconds."""
        raise NotImplementedError(f"the task {self.name} has no reference of {operator}")

    def probe(
        self, model: nn.Module, case: Case, inputs: Inputs, extent: float, build: Callable[[Case], nn.Module]
    ) -> Probe:
        """One item at this extent; `build` makes the model of another case where the case's own takes one size."""
        raise NotImplementedError(f"the task {self.name} is compared with no reference")

    def probes_of_whole(self, model: nn.Module, case: Case, inputs: Inputs, whole: Result) -> list[Probe]:
        """Parts of the whole call's result that a reference can compute: by default none."""
        return []

    def reference(self, model: nn.Module, operator: str) -> tuple[nn.Module, torch.dtype]:
        """The same model by the reference implementation, and the dtype of its inputs.

        Modules that have another code beside that of `operator` go back to their plain one by `use_reference`.
        """
        twin = copy.deepcopy(model).float()
        use_implementation(twin, operator, get_operator(operator).reference)
        for module in twin.modules():
            use_reference = getattr(module, "use_reference", None)
            if use_reference is not None:
                use_reference()
        return twin, torch.float32

    def sharding(self, model: nn.Module, case: Case) -> Sharding:
        """How an item's tokens are cut over ranks; UnsupportedError, with advice, where they cannot be."""
        raise UnsupportedError(f"{case.subject} is not cut over ranks: leave --ranks out for it.")

    def is_reference(self, model: nn.Module, case: Case, operator: str) -> bool:
        """Whether a case's own model computes what its reference would, by the same code."""
        of_operator = case.mantissa == "float32" and case.implementation == get_operator(operator).reference
        return of_operator and all(getattr(module, "is_reference", True) for module in model.modules())


def leaves_of(returned: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """The tensors in what a model returned, by name: in mappings, lists, tuples and dataclasses, one in another.

    What else lies there (None, numbers, texts) is passed over.
    """
    if isinstance(returned, Tensor):
        yield name or "output", returned
    elif isinstance(returned, Mapping):
        for key, value in returned.items():
            yield from leaves_of(value, f"{name}.{key}".lstrip("."))
    elif is_dataclass(returned) and not isinstance(returned, type):
        for field in fields(returned):
            yield from leaves_of(getattr(returned, field.name), f"{name}.{field.name}".lstrip("."))
    elif isinstance(returned, list | tuple):
        names = getattr(returned, "_fields", None)  # of a named tuple
        for number, value in enumerate(returned, 1):
            own = names[number - 1] if names else f"output {number}" if not name else str(number)
            yield from leaves_of(value, f"{name}.{own}".lstrip("."))


def kind_of(made: Any) -> str:
    """What something is, for a message: `list (Tensor, NoneType)`."""
    inside = made.values() if isinstance(made, Mapping) else made if isinstance(made, list | tuple) else ()
    kinds = ", ".join(type(member).__name__ for member in inside)
    return type(made).__name__ + (f" ({kinds})" if kinds else "")


def gradients_of(model: nn.Module, inputs: Inputs) -> Gradients:
    """Gradients by the name of the parameter or input that has one; not copies."""
    every = [*model.named_parameters(), *inputs.items()]
    return {name: tensor.grad for name, tensor in every if tensor.grad is not None}
