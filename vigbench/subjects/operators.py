"""Operators that are measured on their own, beside models: what they take and what they cost by definition."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class OperatorSubject:
    """An operator as a subject.

    Attributes:
        operator: in the registry of implementations.
        directions: in which the sequence is scanned, each with log-decays of its own; 0: every token sees every other.
        causal: of attention: whether a token sees only itself and those before it.
        logits: whether log-decays are computed in the call, logsigmoid(logits) / 16, as a model has to.
    """

    name: str
    operator: str
    directions: int
    description: str
    logits: bool = False
    causal: bool = False

    def macs(self, length: int, heads: int, key_dim: int, value_dim: int) -> int:
        """Multiply-adds of one sequence, forward, by the counting rule of docs/measurement.md."""
        if self.directions == 0:
            pairs = length * (length + 1) // 2 if self.causal else length * length
            return heads * pairs * (key_dim + value_dim)
        return 3 * self.directions * heads * length * key_dim * value_dim

    def input_elements(self, heads: int, key_dim: int, value_dim: int) -> int:
        """Numbers in q, k, v and the log-decays, for one token."""
        return heads * ((2 + self.directions) * key_dim + value_dim)


OPERATORS = {
    one.name: one
    for one in (
        OperatorSubject("gla", "gla", 2, "bidirectional gated linear attention"),
        OperatorSubject("gla_from_logits", "gla", 2, "the same from the logits of its gates", logits=True),
        OperatorSubject("gla_one_direction", "gla", 1, "gated linear attention from the first token to the last"),
        OperatorSubject("attention", "attention", 0, "softmax attention of every token with every other"),
        OperatorSubject(
            "causal_attention", "attention", 0, "softmax attention of every token with those before it", causal=True
        ),
    )
}
