"""Multiply-adds and parameters of a model, counted on the meta device: no weight or activation is allocated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import chain
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from vigbench.measure.counting_rule import FORMULAS, is_zero_by_rule
from vigbench.ops.cost import EXECUTED_FLOPS
from vigbench.ops.registry import UnsupportedError


@dataclass(frozen=True)
class Cost:
    """What one forward pass costs. 1 MAC = one multiply-add; FLOPs = 2 x MACs.

    Attributes:
        macs: algorithmic count by the rule of docs/measurement.md, the same for every implementation.
        executed_macs: what the chosen implementations really execute.
        params: trainable parameters.
        by_operator: `macs` by operator, largest first; vigbench's own operators under their own name (`gla`).
        calls: operator calls, whether they have a formula, are free by the rule, or neither.
        uncounted: operators that have no formula and are not free by the rule, with their calls; they count as 0 above.
    """

    macs: int
    executed_macs: int
    params: int
    by_operator: Mapping[str, int]
    calls: int
    uncounted: Mapping[str, int]

    @property
    def flops(self) -> int:
        """2 x MACs."""
        return 2 * self.macs

    @property
    def coverage(self) -> float:
        """Share of operator calls that the counting rule covers, 0 to 1; below 1, `uncounted` names the rest."""
        return 1 - sum(self.uncounted.values()) / self.calls if self.calls else 1.0

    @property
    def operator_macs(self) -> int:
        """`macs` in vigbench's own operators."""
        return sum(macs for name, macs in self.by_operator.items() if "." not in name)


def count_cost(
    model: nn.Module, inputs: Sequence[int] | Sequence[Tensor], named: Mapping[str, Tensor] | None = None
) -> Cost:
    """Count one forward pass in eval mode.

    Args:
        model: on any device; it is not changed and not copied.
        inputs: the shape of an image batch (batch, channels, height, width), or the tensors that the model is called
            with, of which only shapes and dtypes count. The count covers the whole batch.
        named: tensors that it is called with by name.

    Raises:
        ValueError: if the model does not take these inputs, or cannot run on the meta device.
        UnsupportedError: if the model says so itself.
    """
    state = {
        name: torch.empty_like(tensor, device="meta")
        for name, tensor in chain(model.named_parameters(), model.named_buffers())
    }
    dtype = next((tensor.dtype for tensor in state.values() if tensor.is_floating_point()), torch.float32)
    arguments = _on_meta(inputs, dtype)
    options = {name: torch.empty_like(tensor, device="meta") for name, tensor in (named or {}).items()}
    was_training = {module: module.training for module in model.modules()}
    model.eval()
    try:
        known = -1
        while known < len(flop_registry):  # again, where an operator has registered its formulas on this first use
            known = len(flop_registry)
            algorithmic, executed, calls = _count(model, state, arguments, options)
    except UnsupportedError:  # it says by itself what is wrong
        raise
    except Exception as error:
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in (*arguments, *options.values()))
        raise ValueError(
            f"{type(model).__name__} did not run on an input of shape {shapes} on the meta device: {first_line}"
        ) from error
    finally:
        for module, training in was_training.items():
            module.training = training
    by_operator: Counter[str] = Counter()
    for operator, flops in algorithmic.items():
        by_operator[_operator_name(operator)] += flops // 2
    uncounted = {
        str(operator.overloadpacket): count
        for operator, count in calls.items()
        if operator.overloadpacket not in algorithmic and not is_zero_by_rule(operator)
    }
    return Cost(
        macs=sum(by_operator.values()),
        executed_macs=sum(executed.values()) // 2,
        params=sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad),
        by_operator=dict(by_operator.most_common()),
        calls=sum(calls.values()),
        uncounted=uncounted,
    )


def _on_meta(inputs: Sequence[int] | Sequence[Tensor], dtype: torch.dtype) -> tuple[Tensor, ...]:
    tensors = tuple(torch.empty_like(tensor, device="meta") for tensor in inputs if isinstance(tensor, Tensor))
    shape = tuple(size for size in inputs if not isinstance(size, Tensor))
    return tensors if tensors else (torch.empty(shape, dtype=dtype, device="meta"),)


def _operator_name(packet: Any) -> str:
    """`aten.addmm` for torch's operators; for vigbench's, named vigbench::<operator>_<implementation>, the operator."""
    namespace, _, name = str(packet).partition(".")
    return name.partition("_")[0] if namespace == "vigbench" else str(packet)


def _count(
    model: nn.Module, state: Mapping[str, Tensor], arguments: tuple[Tensor, ...], options: Mapping[str, Tensor]
) -> tuple[dict[Any, int], dict[Any, int], Counter[OpOverload]]:
    """FLOPs by operator, algorithmic and executed, and the calls of every operator that is left after decomposition."""
    algorithmic = FlopCounterMode(display=False, custom_mapping=dict(FORMULAS))
    executed = FlopCounterMode(display=False, custom_mapping={**FORMULAS, **EXECUTED_FLOPS})
    with _CallCounter() as calls, algorithmic, executed:
        _forward(model, state, arguments, options)
    total, really = (counter.get_flop_counts().get("Global", {}) for counter in (algorithmic, executed))
    return total, really, calls.calls


@torch.no_grad()
def _forward(
    model: nn.Module, state: Mapping[str, Tensor], arguments: tuple[Tensor, ...], options: Mapping[str, Tensor]
) -> None:
    with _autocast_on_meta():
        torch.func.functional_call(model, dict(state), arguments, dict(options))


def _autocast_on_meta() -> AbstractContextManager[object]:
    """Models switch autocast on or off for the device of their inputs, and torch has none for "meta"."""
    begin = torch.autocast.__init__

    def for_cpu_instead(self: torch.autocast, device_type: str, *args: Any, **kwargs: Any) -> None:
        begin(self, "cpu" if device_type == "meta" else device_type, *args, **kwargs)

    return patch.object(torch.autocast, "__init__", for_cpu_instead)


class _CallCounter(TorchDispatchMode):
    """Counts calls; entered outside FlopCounterMode it sees what that mode's decomposition leaves."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call, unused-ignore]
        self.calls: Counter[OpOverload] = Counter()

    def __torch_dispatch__(
        self, func: OpOverload, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.calls[func] += 1
        return func(*args, **(kwargs or {}))
