"""What the kernels' settings are tuned for."""

from __future__ import annotations

from dataclasses import dataclass

from vigbench.ops.gla.kernels.settings import GlaSettings, Key, Pass, default_settings, forbidden, key_of
from vigbench.subjects.task import DTYPES


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
        return key_of(capability, DTYPES[self.precision], self.key_dim, self.value_dim, self.length, self.pass_)

    def default(self, capability: str) -> GlaSettings:
        """The settings to begin from."""
        return default_settings(capability, DTYPES[self.precision], self.pass_, self.key_dim)

    def allows(self, capability: str, settings: GlaSettings) -> bool:
        """Whether no compiler is known to get these settings wrong."""
        return forbidden(settings, capability, DTYPES[self.precision], self.pass_) is None

    def label(self) -> str:
        """One short line for people."""
        shape = f"{self.heads}x{self.key_dim}x{self.value_dim}"
        return f"{self.pass_} {shape} {self.length} tokens b{self.batch_size} {self.precision}"
