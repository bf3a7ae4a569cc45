"""What sequence layers on their own have in common: one width in and out, and causality."""

from abc import ABC
from typing import ClassVar

from torch import Tensor

from vigbench.models.model import Model


class Layer(Model, ABC):
    """A token mixer with its projections, norm and gate, as a language model stacks it: (batch, length, dim) to that.

    Built as `Layer(heads, key_dim, value_dim)`; no token sees a later one. `dim` is the width that these heads come
    to by the paper's rule, `width`.
    """

    dim: int
    of_heads: ClassVar[str] = "heads * value_dim"  # the rule, in words

    @classmethod
    def width(cls, heads: int, key_dim: int, value_dim: int) -> int:
        """Channels of a token. ValueError for heads that the layer does not have."""
        if min(heads, key_dim, value_dim) < 1:
            raise ValueError(f"heads are {heads}x{key_dim}x{value_dim}: give one of each or more")
        return heads * value_dim

    @classmethod
    def masked_macs(cls, length: int, heads: int, key_dim: int, value_dim: int) -> int:  # noqa: ARG003  one signature
        """Multiply-adds of one sequence that whole products have and a causal mask takes away."""
        return 0

    def require(self, x: Tensor) -> None:
        """Raise ValueError, with advice, for what the layer does not take."""
        if x.ndim != 3 or x.shape[-1] != self.dim:
            raise ValueError(
                f"{type(self).__name__} takes (batch, length, {self.dim}), not {tuple(x.shape)}: its width is "
                f"{self.of_heads}"
            )
