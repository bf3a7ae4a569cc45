"""What the kernels' settings are tuned for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vigbench.ops.gla.kernels.settings import (
    WALK,
    WALK_BACK,
    GlaSettings,
    Key,
    Pass,
    default_settings,
    forbidden,
    key_of,
    untuned_settings,
)
from vigbench.subjects.task import DTYPES

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Workload:
    """What to tune for: one pass over sequences of one shape."""

    precision: str
    heads: int
    key_dim: int
    value_dim: int
    length: int
    batch_size: int
    pass_: Pass

    def key(self, capability: str) -> Key:
        """Its place in the tuned table."""
        return key_of(capability, *self._call())

    def default(self, capability: str) -> GlaSettings:
        """The settings that it has as long as nobody has tuned for it."""
        return untuned_settings(capability, *self._call())

    def starts(self, capability: str) -> list[GlaSettings]:
        """Where to search from: the default, and each other form of the pass, which no single change leads to."""
        passes = default_settings(capability, DTYPES[self.precision], self.pass_, self.key_dim)
        walks = [WALK, WALK._replace(chunk=32, warps=2)] if self.pass_ == "forward" else [WALK_BACK]
        found = [self.default(capability), passes, *(one._replace(segment=self.length) for one in walks)]
        return [one for one in dict.fromkeys(found) if self.allows(capability, one)]

    def _call(self) -> tuple[torch.dtype, int, int, int, int, Pass]:
        walks = 2 * self.batch_size * self.heads
        return DTYPES[self.precision], self.key_dim, self.value_dim, self.length, walks, self.pass_

    def allows(self, capability: str, settings: GlaSettings) -> bool:
        """Whether no compiler is known to get these settings wrong."""
        return forbidden(settings, capability, DTYPES[self.precision], self.pass_) is None

    def label(self) -> str:
        """One short line for people."""
        shape = f"{self.heads}x{self.key_dim}x{self.value_dim}"
        return f"{self.pass_} {shape} {self.length} tokens b{self.batch_size} {self.precision}"
