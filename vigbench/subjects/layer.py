"""The task of a sequence layer on its own: tokens of one width, as a language model hands them on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import ClassVar

import torch
from torch import nn

from vigbench.models.layers.table import LAYERS, create_layer
from vigbench.ops.declaration import Limit
from vigbench.ops.registry import get_implementation
from vigbench.subjects.task import DTYPES, SEED, Inputs, Probe, Task
from vigbench.suites.axes import MemoryFormat
from vigbench.suites.case import Case

LONGEST = Limit(2048, 512)  # sequences that the references of all operators take seconds for, whatever the heads


class LayerTask(Task):
    """x (batch, length, width), standard normal, in and out; the heads' shape says the width by the layer's own rule.

    An item is a token: what a layer costs for one depends on how many there are.
    """

    name = "layer"
    unit = "token"
    axes = ("length", "shape")
    tolerance: ClassVar[Mapping[str, float]] = {**Task.tolerance, "bfloat16": 3e-2}

    def require_axes(self, subject: str, given: Collection[str]) -> None:
        if set(given) != set(self.axes):
            raise ValueError(f"{subject} is a layer: give it --length and --shape, and no resolution, as suite layers.")

    def require(self, case: Case) -> None:
        if case.memory_format is not MemoryFormat.contiguous:
            raise ValueError(f"{case.memory_format} is a layout of images: leave it out for a layer.")
        super().require(case)
        LAYERS[case.subject].width(*_shape(case))

    def build(self, case: Case) -> nn.Module:
        """The layer with its heads, computing its operator by the case's implementation."""
        layer = create_layer(case.subject, *_shape(case))
        layer.set_implementation(case.implementation)
        return layer

    def make_inputs(self, case: Case) -> Inputs:
        """x alone."""
        device = case.device.value
        size = (case.batch_size, _length(case), LAYERS[case.subject].width(*_shape(case)))
        x = torch.randn(size, generator=torch.Generator(device).manual_seed(SEED), device=device)
        return {"x": x.to(DTYPES[case.precision])}

    def items(self, case: Case) -> int:
        return case.batch_size * _length(case)

    def masked_macs(self, case: Case) -> int:
        return LAYERS[case.subject].masked_macs(_length(case), *_shape(case))

    def executed_macs(self, case: Case, counted: int) -> int:
        if get_implementation(LAYERS[case.subject].operator, case.implementation).materialises:
            return counted
        return counted - self.masked_macs(case)

    def largest_checked(self, case: Case, operator: str) -> float:
        return LONGEST.of(case.phase.trains)

    def probe(
        self, model: nn.Module, case: Case, inputs: Inputs, extent: float, build: Callable[[Case], nn.Module]
    ) -> Probe:
        """The first tokens of one sequence, which no later token changes."""
        length = int(extent)
        return Probe(
            f"{length} tokens", {"length": length}, model, {name: x[:1, :length] for name, x in inputs.items()}
        )


def _shape(case: Case) -> tuple[int, int, int]:
    assert case.shape is not None
    return case.shape


def _length(case: Case) -> int:
    assert case.length is not None
    return case.length
