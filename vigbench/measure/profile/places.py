"""Where in the model each span belongs: its chain of modules, its operator, forward or backward."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from vigbench.measure.profile.ranges import ITERATION
from vigbench.measure.profile.spans import MEMORY, Span

BACKWARD = "(backward)"  # of no module: torch gives those nodes no number, such as the storing of gradients
OUTSIDE = "(outside the model)"  # in the iteration, but in no module: the loss, clearing the gradients
_BACKWARD_NODE = "autograd::engine::evaluate_function: "


@dataclass(frozen=True)
class PlacedSpan:
    """A span in one iteration.

    Attributes:
        iteration: 0, 1, ...
        modules: qualified names, outermost first, and those without a module `OUTSIDE` or `BACKWARD` alone.
        operators: around, outermost first; none outside of operators: in Python, in autograd's engine.
        counted: the outermost of the operators to count around; None where there is none.
        starts: whether the span itself is that operator, and that counted operator.
        backward: whether it belongs to the backward pass.
    """

    span: Span
    iteration: int
    modules: tuple[str, ...]
    operators: tuple[str, ...]
    counted: str | None
    starts: tuple[bool, bool]
    backward: bool

    @property
    def module(self) -> str:
        """The innermost module."""
        return self.modules[-1]

    @property
    def operator(self) -> str | None:
        """The innermost operator; None outside of operators."""
        return self.operators[-1] if self.operators else None


def is_operator(name: str) -> bool:
    """Whether a span is an operator: `namespace::name`, and no part of autograd's engine."""
    return "::" in name and " " not in name and not name.startswith(("autograd::", "torch::autograd::", "profiler::"))


def places(roots: Sequence[Span], labels: Mapping[str, str], counted: Collection[str] = ()) -> Iterator[PlacedSpan]:
    """Every span of every iteration with its place, in the order of time; other threads come after the iteration's own.

    Args:
        roots: all trees of a profile.
        labels: name of a module's range -> its qualified name.
        counted: names of the operators to count; inside one of them no other counts.
    """
    found = _Finder(labels, counted)
    iterations = sorted(
        (span for root in roots for span in root.walk() if span.name == ITERATION), key=lambda s: s.begin
    )
    for number, iteration in enumerate(iterations):
        yield from found.inside(iteration, number)
        for root in roots:  # autograd's threads
            if root.thread != iteration.thread and iteration.begin <= root.begin < iteration.end:
                yield from found.inside(root, number)


class _Finder:
    def __init__(self, labels: Mapping[str, str], counted: Collection[str]) -> None:
        self.labels, self.counted = labels, frozenset(counted)
        self.forward: dict[tuple[int, int], tuple[str, ...]] = {}  # (thread, sequence) -> modules of the last operator

    def inside(self, root: Span, iteration: int) -> Iterator[PlacedSpan]:
        start = PlacedSpan(root, iteration, (OUTSIDE,), (), None, (False, False), backward=False)
        waiting = [(root, start)]
        while waiting:
            span, parent = waiting.pop()
            place = self._place(span, parent)
            yield place
            waiting.extend((child, place) for child in reversed(span.children))

    def _place(self, span: Span, parent: PlacedSpan) -> PlacedSpan:
        modules, operators, counted, backward = parent.modules, parent.operators, parent.counted, parent.backward
        starts = (False, False)
        path = self.labels.get(span.name)
        if path is not None:
            modules = (path,) if modules in ((OUTSIDE,), (BACKWARD,)) else (*modules, path)
        elif span.name.startswith(_BACKWARD_NODE):
            modules, backward = self.forward.get((span.forward_thread, span.sequence), (BACKWARD,)), True
        elif is_operator(span.name):
            operators = (*operators, span.name)
            first = counted is None and span.name in self.counted
            counted, starts = (span.name if first else counted), (True, first)
        if span.sequence >= 0 and not backward and span.name != MEMORY:
            self.forward[span.thread, span.sequence] = modules
        return PlacedSpan(span, parent.iteration, modules, operators, counted, starts, backward)
