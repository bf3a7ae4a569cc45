"""How an item's tokens are cut over ranks, and what each rank computes of its part."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from vigbench.ops.declaration import OperatorSubject, load_target
from vigbench.suites.case import Case

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

    from vigbench.subjects.task import Inputs, Result


@dataclass(frozen=True)
class Place:
    """Where a process stands among those that share an item.

    Attributes:
        group: in which they exchange what the others need.
        exchange: `all_gather` or `ring`.
    """

    rank: int
    ranks: int
    group: ProcessGroup
    exchange: str

    def part(self, tensor: Tensor, dim: int = 1) -> Tensor:
        """This rank's tokens: parts differ by one token at most, the longer ones first."""
        return tensor.tensor_split(self.ranks, dim)[self.rank]


class Sharding(ABC):
    """What a task says of its subject over several ranks."""

    @abstractmethod
    def module(self, place: Place) -> nn.Module:
        """What a rank runs: the task's call and backward pass take it in the place of the whole model."""

    @abstractmethod
    def inputs(self, whole: Inputs, place: Place) -> Inputs:
        """A rank's part of the inputs of a whole batch, in memory of its own."""

    @abstractmethod
    def expected(self, whole: Result, place: Place) -> Result:
        """What a rank has to find, of what a single process computes from the whole."""

    def found(self, own: Result, place: Place) -> Result:
        """What a rank has found, under the names of `expected`; every rank asks for it at the same moment."""
        return own


class _OperatorPart(nn.Module):
    def __init__(self, compute: Any) -> None:
        super().__init__()
        self.compute = compute

    def forward(self, *inputs: Tensor) -> Any:
        return self.compute(*inputs)


@dataclass(frozen=True)
class TokenSharding(Sharding):
    """Of an operator: every input and the output are cut along their tokens."""

    subject: OperatorSubject
    case: Case
    scale: float

    def module(self, place: Place) -> nn.Module:
        compute = load_target(self.subject.over_ranks)
        options: dict[str, Any] = {"scale": self.scale, "group": place.group, "exchange": place.exchange}
        if self.subject.call:
            options["implementation"] = self.case.implementation
        else:
            options["causal"] = self.subject.causal
        return _OperatorPart(partial(compute, **options))

    def inputs(self, whole: Inputs, place: Place) -> Inputs:
        parts = {name: place.part(x).detach().clone() for name, x in whole.items()}
        return {name: x.requires_grad_(whole[name].requires_grad) for name, x in parts.items()}

    def expected(self, whole: Result, place: Place) -> Result:
        outputs, gradients = ({name: place.part(x) for name, x in part.items()} for part in whole)
        return outputs, gradients
