"""Multiply-adds and parameters of a model, counted on fake tensors: no weight or activation is allocated."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from vigbench.measure.counting_rule import FORMULAS, is_zero_by_rule
from vigbench.measure.skeleton import fake_like, forget, skeleton_of
from vigbench.ops.cost import EXECUTED_FLOPS
from vigbench.ops.registry import UnsupportedError, list_operators

Counts = tuple[Mapping[Any, int], Mapping[Any, int], Counter[OpOverload]]
"""FLOPs by operator, algorithmic and executed; and every operator's calls."""


@dataclass(frozen=True)
class Cost:
    """What one forward pass costs. 1 MAC = one multiply-add; FLOPs = 2 x MACs.

    Attributes:
        macs: algorithmic count by the rule of docs/measurement.md, the same for every implementation.
        executed_macs: what the chosen implementations really execute.
        params: trainable parameters.
        by_operator: `macs` by operator, largest first; vigbench's own operators under their own name (`gla`).
        calls: operator calls, whether they have a formula, are free by the rule, or neither.
        refusal: why nothing was counted; the numbers of multiply-adds are 0 then, and mean nothing. Empty: it was.
        uncounted: operators that have no formula and are not free by the rule, with their calls; they count as 0 above.
    """

    macs: int
    executed_macs: int
    params: int
    by_operator: Mapping[str, int]
    calls: int
    uncounted: Mapping[str, int]
    refusal: str = ""

    @property
    def flops(self) -> int:
        """2 x MACs."""
        return 2 * self.macs

    @property
    def coverage(self) -> float:
        """Share of operator calls that the counting rule covers, 0 to 1; below 1, `uncounted` names the rest."""
        return 1 - sum(self.uncounted.values()) / self.calls if self.calls else 1.0

    def times(self, passes: int) -> Cost:
        """What so many of these forward passes cost, with the parameters of one."""
        by_operator = {name: passes * macs for name, macs in self.by_operator.items()}
        return replace(
            self, macs=passes * self.macs, executed_macs=passes * self.executed_macs, by_operator=by_operator
        )

    @property
    def operator_macs(self) -> int:
        """`macs` in vigbench's own operators."""
        return sum(macs for name, macs in self.by_operator.items() if "." not in name)


def count_cost(
    model: nn.Module, inputs: Sequence[int] | Sequence[Tensor], named: Mapping[str, Tensor] | None = None
) -> Cost:
    """Count one forward pass in eval mode, through a copy of the model: the model itself is never run.

    The copy and what runs through it are fake tensors, which have no memory. A model that needs values (a branch on
    one, a scripted or quantised module) is copied and run for real instead.

    Args:
        model: on any device; it is not changed.
        inputs: the shape of an image batch (batch, channels, height, width), or the tensors that the model is called
            with, of which only shapes and dtypes count. The count covers the whole batch.
        named: tensors that it is called with by name.

    Raises:
        ValueError: if the model does not take these inputs, or cannot be copied.
        UnsupportedError: if the model says so itself.
    """
    model = getattr(model, "_orig_mod", model)  # what torch.compile was given
    arguments, options = _as_tensors(inputs, model), dict(named or {})
    try:
        algorithmic, executed, calls = _count_fake(model, arguments, options)
    except UnsupportedError:  # it says by itself what is wrong
        raise
    except Exception as failure:
        without_values = any(tensor.is_meta for tensor in model.parameters())
        try:
            if without_values:  # on its own device: one of its operators may have no code for a CPU
                algorithmic, executed, calls = _count_fake(model, arguments, options, meta=True)
            else:
                algorithmic, executed, calls = _count_real(model, arguments, options)
        except UnsupportedError:
            raise
        except Exception as error:
            told = failure if without_values else error
            raise _did_not_run(model, (*arguments, *options.values()), told) from error
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
        params=trained_parameters(model),
        by_operator=dict(by_operator.most_common()),
        calls=sum(calls.values()),
        uncounted=uncounted,
    )


def trained_parameters(model: nn.Module) -> int:
    """Numbers in the parameters that training changes."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def not_counted(model: nn.Module, why: str) -> Cost:
    """The cost of a model that runs and cannot be counted."""
    return Cost(0, 0, trained_parameters(model), by_operator={}, calls=0, uncounted={}, refusal=why)


def _as_tensors(inputs: Sequence[int] | Sequence[Tensor], model: nn.Module) -> tuple[Tensor, ...]:
    """What the model is called with; of a shape a tensor without memory, in the dtype of the weights."""
    tensors = tuple(tensor for tensor in inputs if isinstance(tensor, Tensor))
    if tensors:
        return tensors
    dtypes = (tensor.dtype for tensor in chain(model.parameters(), model.buffers()) if tensor.is_floating_point())
    shape = tuple(size for size in inputs if not isinstance(size, Tensor))
    return (torch.empty(shape, dtype=next(dtypes, torch.float32), device="meta"),)


def _did_not_run(model: nn.Module, arguments: Sequence[Tensor], error: Exception) -> ValueError:
    first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
    shapes = ", ".join(str(tuple(tensor.shape)) for tensor in arguments)
    return ValueError(f"{type(model).__name__} did not run on an input of shape {shapes}: {first_line}")


def _count_fake(
    model: nn.Module, arguments: Sequence[Tensor], options: Mapping[str, Tensor], *, meta: bool = False
) -> Counts:
    """Counts without memory; tensors of the meta device stay there if `meta`, else they pass for a CPU's."""
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    try:
        twin = _without_gradients(skeleton_of(model, mode, meta=meta).eval())
        device = _device_of(twin)

        def fake(tensor: Tensor) -> Tensor:
            made = fake_like(tensor, mode, meta=meta)
            return made.to(device) if tensor.is_meta and not meta else made

        with mode:
            return _count(twin, [fake(x) for x in arguments], {name: fake(x) for name, x in options.items()})
    finally:
        twin = None  # type: ignore[assignment]
        forget(mode)


def _device_of(model: nn.Module) -> torch.device:
    return next((tensor.device for tensor in chain(model.parameters(), model.buffers())), torch.device("cpu"))


def _without_gradients(model: nn.Module) -> nn.Module:
    """The model with frozen parameters: torch's counter follows modules through autograd, where views have no hooks."""
    for parameter in model.parameters():
        if parameter.is_leaf:  # TorchScript copies others
            parameter.requires_grad_(False)
    return model


def _count_real(model: nn.Module, arguments: Sequence[Tensor], options: Mapping[str, Tensor]) -> Counts:
    """Counts by running a copy."""
    twin = _without_gradients(copy.deepcopy(model).eval())
    device = _device_of(model)

    def real(tensor: Tensor) -> Tensor:
        return torch.randn(tensor.shape, dtype=tensor.dtype, device=device) if tensor.is_meta else tensor.clone()

    return _count(twin, [real(x) for x in arguments], {name: real(x) for name, x in options.items()})


def _operator_name(packet: Any) -> str:
    """`aten.addmm` for torch's operators; for vigbench's, named vigbench::<operator>_<implementation>, the operator."""
    namespace, _, name = str(packet).partition(".")
    if namespace != "vigbench":
        return str(packet)
    declared = (one.name for one in list_operators() if f"{name}_".startswith(f"{one.name}_"))
    return next(declared, name.partition("_")[0])


@torch.no_grad()
def _count(model: nn.Module, arguments: Sequence[Tensor], options: Mapping[str, Tensor]) -> Counts:
    """FLOPs by operator, algorithmic and executed, and the calls of every operator that is left after decomposition."""
    known = -1
    while known < len(flop_registry):  # again, where an operator has registered its formulas on this first use
        known = len(flop_registry)
        algorithmic = FlopCounterMode(display=False, custom_mapping=dict(FORMULAS))
        executed = FlopCounterMode(display=False, custom_mapping={**FORMULAS, **EXECUTED_FLOPS})
        with _CallCounter() as calls, algorithmic, executed:
            model(*arguments, **options)
    total, really = (counter.get_flop_counts().get("Global", {}) for counter in (algorithmic, executed))
    return total, really, calls.calls


class _CallCounter(TorchDispatchMode):
    """Counts calls; entered outside FlopCounterMode it sees what that mode's decomposition leaves."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call, unused-ignore]
        self.calls: Counter[OpOverload] = Counter()

    def __torch_dispatch__(
        self, func: OpOverload, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is not torch.ops.prim.device.default:  # which only asks a fake tensor where it says it is
            self.calls[func] += 1
        return func(*args, **(kwargs or {}))
