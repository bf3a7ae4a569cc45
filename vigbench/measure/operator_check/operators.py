"""Every operator that is checked: its implementations, what it is checked on, and how close it has to come."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch

import vigbench.ops.attention  # noqa: F401  registers implementations
from vigbench.measure.operator_check import gla, others
from vigbench.measure.operator_check.sample import Sample
from vigbench.ops.registry import Implementation, list_implementations


@dataclass(frozen=True)
class OperatorCheck:
    """One operator.

    Attributes:
        implementations: those there are, in the order of the table.
        samples: what they are checked on, on a device and in a dtype.
        reference: the implementation that is compared with, in float64.
    """

    operator: str
    implementations: Callable[[], list[Implementation]]
    samples: Callable[[torch.device, torch.dtype], Iterator[Sample]]
    reference: str


def _block(operator: str) -> list[Implementation]:
    """A block around operators: fused in Triton, or plain PyTorch."""
    return [
        Implementation(operator, others.FUSED, "in Triton", "", ("triton",), devices=("cuda",), float64=False),
        Implementation(operator, others.PLAIN, "in plain PyTorch", ""),
    ]


CHECKS = {
    one.operator: one
    for one in (
        OperatorCheck("gla", partial(list_implementations, "gla"), gla.samples, "torch_chunk"),
        OperatorCheck("scan", partial(list_implementations, "scan"), others.scan_samples, "torch_chunk"),
        OperatorCheck("biwkv", partial(list_implementations, "biwkv"), others.biwkv_samples, "reference"),
        OperatorCheck("attention", partial(list_implementations, "attention"), others.attention_samples, "eager"),
        OperatorCheck("causal_conv", partial(_block, "causal_conv"), others.conv_samples, others.PLAIN),
        OperatorCheck("gated_norm", partial(_block, "gated_norm"), others.norm_samples, others.PLAIN),
    )
}
