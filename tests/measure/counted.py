"""What the counting rule says of operators that run, for tests."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from vigbench.measure.profile.counting import CountedCalls


def flops_of(run: Callable[..., Any], *inputs: Tensor) -> dict[str, int]:
    """FLOPs by operator; every operator that ran has to be known."""
    with CountedCalls() as counter:
        run(*inputs)
    assert all(call.known for call in counter.calls), [call.name for call in counter.calls if not call.known]
    flops: dict[str, int] = {}
    for call in counter.calls:
        flops[call.name] = flops.get(call.name, 0) + call.flops
    return {name: count for name, count in flops.items() if count}


def unknown_in(run: Callable[..., Any], *inputs: Tensor) -> list[str]:
    """The operators that the rule does not know, as they ran."""
    with CountedCalls() as counter:
        run(*inputs)
    return [call.name for call in counter.calls if not call.known]
