"""How an item's tokens are cut over ranks, and what each rank computes of its part."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch.distributed as dist
from torch import Tensor, nn

from vigbench.ops.declaration import OperatorSubject, load_target
from vigbench.ops.registry import UnsupportedError
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


@dataclass(frozen=True)
class RowSharding(Sharding):
    """Of a ViG: images are cut at rows of tokens, and every rank has the logits of the whole.

    The gradients of weights stay where they are found, as under data parallelism: their mean over the ranks is part of
    an optimiser's step, and of no iteration here.
    """

    model: nn.Module

    def module(self, place: Place) -> nn.Module:
        return _cut_at_rows(self.model, place.group, place.exchange)

    def inputs(self, whole: Inputs, place: Place) -> Inputs:
        return {"image": _rows(whole["image"], place.rank, place.ranks).detach().clone()}

    def expected(self, whole: Result, place: Place) -> Result:
        outputs, gradients = whole
        own = {name: _rows(x, place.rank, place.ranks) for name, x in gradients.items() if name == "image"}
        return outputs, {**gradients, **own}

    def found(self, own: Result, place: Place) -> Result:
        outputs, gradients = own
        found = {}
        for name, gradient in gradients.items():  # each rank has differentiated the whole loss
            mean = gradient.float() / place.ranks
            if name != "image":
                dist.all_reduce(mean, group=place.group)
            found[name.removeprefix("model.")] = mean
        return outputs, found


def _cut_at_rows(model: Any, group: ProcessGroup | None, exchange: str) -> nn.Module:
    from vigbench.models.vig_parallel import SequenceParallelViG  # which needs a torch with torch.distributed

    return SequenceParallelViG(model, group, exchange)


def _rows(images: Tensor, rank: int, ranks: int) -> Tensor:
    from vigbench.models.vig_parallel import rows_of

    return rows_of(images, rank, ranks)


def sharding_of_images(model: nn.Module, images: Tensor, case: Case) -> RowSharding:
    """How a model's images are cut.

    Args:
        model: any.
        images: a batch, or of its size.
        case: with several ranks.

    Raises:
        UnsupportedError: if the model is no ViG with its own mixer, or the images have fewer rows of tokens than ranks.
    """
    try:
        _cut_at_rows(model, None, str(case.exchange))
        _rows(images, 0, case.ranks)
    except ValueError as error:
        raise UnsupportedError(f"{case.subject} is not cut over {case.ranks} ranks: {error}.") from error
    return RowSharding(model)
