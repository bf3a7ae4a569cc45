"""A model of a sequence operator that is cut over ranks: what each way of doing so sends, and how long it takes.

Counts are what `vigbench.ops` sends (tests compare them); times are a model, of latency, bandwidth and the rates of
multiply-adds, and no measurement. See docs/sequence-parallel.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from vigbench.nearest import did_you_mean, one_of

Phase = Literal["forward", "backward"]
STATES = ("gla_all_gather", "gla_ring")
KEYS_AND_VALUES = ("attention_all_gather", "attention_ring")
ALL_TO_ALL = ("gla_all_to_all", "attention_all_to_all")  # Ulysses (arXiv 2309.14509), of heads; not built here
BUILT = (*STATES, *KEYS_AND_VALUES)
METHODS = (*BUILT, *ALL_TO_ALL)
SUM_BYTES = 4  # of an element of a sum, which is sent as it is kept: float32, also for half precision
LONGEST = 2**26


@dataclass(frozen=True, kw_only=True)
class CutSequence:
    """Sequences of `length` tokens in equal parts on `ranks` ranks, at one layer's heads; GLA in both directions."""

    length: float
    ranks: int
    heads: int = 3
    key_dim: int = 32
    value_dim: int = 64
    batch: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.ranks <= self.length or min(self.heads, self.key_dim, self.value_dim, self.batch) < 1:
            raise ValueError(f"{self}: everything has to be at least 1, and no rank may be without a token")

    @property
    def tokens(self) -> float:
        """Of one rank."""
        return self.length / self.ranks

    @property
    def state(self) -> int:
        """Elements of one direction's states."""
        return self.batch * self.heads * self.key_dim * self.value_dim

    @property
    def keys_and_values(self) -> float:
        """Elements of one rank's keys and values."""
        return self.batch * self.tokens * self.heads * (self.key_dim + self.value_dim)


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Ranks as the model sees them: all alike, each link used in both directions at once."""

    latency_s: float
    bytes_per_s: float
    gla_macs_per_s: float
    attention_macs_per_s: float
    element_bytes: int = 2  # of inputs

    def __post_init__(self) -> None:
        if self.latency_s < 0 or min(self.bytes_per_s, self.gla_macs_per_s, self.attention_macs_per_s) <= 0:
            raise ValueError(f"{self}: rates have to be above 0 and the latency not below")


def elements_sent(method: str, cut: CutSequence, phase: Phase = "forward") -> float:
    """Numbers that a rank sends for one layer; of "gla_ring" a rank with two neighbours, which sends most.

    ValueError for a method that is none of `METHODS`.
    """
    kept, sums = _sent(method, cut, phase)
    return kept + sums


def bytes_sent(method: str, cut: CutSequence, phase: Phase = "forward", element_bytes: int = 2) -> float:
    """The same in bytes: inputs in `element_bytes`, states and sums of gradients in float32 at least."""
    kept, sums = _sent(method, cut, phase)
    return kept * element_bytes + sums * max(element_bytes, SUM_BYTES)


def crossover_tokens(key_dim: int, value_dim: int, element_bytes: int = SUM_BYTES) -> float:
    """Tokens a rank at which the states of both directions, gathered, are as many bytes as keys and values are."""
    states = 2 * key_dim * (value_dim + 1) * max(element_bytes, SUM_BYTES)
    return states / ((key_dim + value_dim) * element_bytes)


def time_s(method: str, cut: CutSequence, cluster: Cluster, phase: Phase = "forward") -> float:
    """Seconds of one layer's operator on every rank, with what overlaps in this implementation overlapping fully.

    ValueError for a method that is none of `BUILT`.
    """
    if method in STATES:
        return _time_of_states(method, cut, cluster, phase)
    _require(method, BUILT)
    return _time_of_keys(method, cut, cluster, phase)


def crossover_length(
    cut: CutSequence, cluster: Cluster, phase: Phase = "forward", method: str = "gla_ring", than: str = "attention_ring"
) -> int | None:
    """The shortest length from which on `method` takes less time than `than`, on the ranks and heads of `cut`.

    None if it is slower at 2^26 tokens still; lengths are multiples of the number of ranks.
    """

    def faster(tokens: int) -> bool:
        longer = replace(cut, length=tokens * cut.ranks)
        return time_s(method, longer, cluster, phase) < time_s(than, longer, cluster, phase)

    sizes = [1 << n for n in range(LONGEST.bit_length()) if cut.ranks << n <= LONGEST]
    slow = [tokens for tokens in sizes if not faster(tokens)]
    if not slow:
        return cut.ranks
    low = slow[-1]
    if low == sizes[-1]:
        return None
    high = 2 * low
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if faster(middle) else (middle, high)
    return high * cut.ranks


def halo_elements(dim: int, columns: int, ranks: int, batch: int = 1) -> int:
    """Numbers that a rank of `SequenceParallelViG` sends for a block's convolution: a row of tokens to each neighbour.

    Those of the ranks with two neighbours, where there are such; as many backward.
    """
    return min(2, ranks - 1) * batch * columns * dim


def mean_elements(dim: int, ranks: int, batch: int = 1) -> float:
    """Numbers that a rank sends for the mean of all tokens (a ring all-reduce); as many backward."""
    return 2 * (ranks - 1) / ranks * batch * dim


def _sent(method: str, cut: CutSequence, phase: Phase) -> tuple[float, float]:
    """Numbers sent as they came in, and numbers that are sums."""
    _require(method, METHODS)
    others, forward = cut.ranks - 1, phase == "forward"
    if method == "gla_ring":
        return 0, min(2, others) * cut.state
    if method == "gla_all_gather":
        decays = cut.state / cut.value_dim if forward else 0
        return 0, others * 2 * (cut.state + decays)
    if method in KEYS_AND_VALUES:
        return others * cut.keys_and_values, 0 if forward else others * cut.keys_and_values
    tensors = 2 * cut.keys_and_values  # q and k, v and o
    gates = 2 * cut.batch * cut.tokens * cut.heads * cut.key_dim if method == "gla_all_to_all" else 0
    return (tensors + gates) * others / cut.ranks, 0


def _time_of_states(method: str, cut: CutSequence, cluster: Cluster, phase: Phase) -> float:
    """Leaving states, then the exchange beside the rank's own output, then what the entering states give."""
    times = 1 if phase == "forward" else 2
    direction_s = times * cut.tokens * cut.state / cluster.gla_macs_per_s  # one product of each token with a state
    outside_s, own_s = 4 * direction_s, 6 * direction_s
    if cut.ranks == 1:
        return own_s
    sum_bytes = max(cluster.element_bytes, SUM_BYTES)
    if method == "gla_all_gather":
        sent_s = bytes_sent(method, cut, phase, cluster.element_bytes) / cluster.bytes_per_s
        return outside_s + max(own_s, (cut.ranks - 1) * cluster.latency_s + sent_s)
    hop_s = cluster.latency_s + cut.state * sum_bytes / cluster.bytes_per_s  # both chains at once
    return outside_s + max(own_s, hop_s) + (cut.ranks - 2) * hop_s  # the first hop alone runs beside the output


def _time_of_keys(method: str, cut: CutSequence, cluster: Cluster, phase: Phase) -> float:
    """A block of keys for each rank, computed while others arrive; gradients go back behind them."""
    products = cut.key_dim + cut.value_dim if phase == "forward" else 3 * cut.key_dim + 2 * cut.value_dim
    block_s = cut.batch * cut.heads * products * cut.tokens**2 / cluster.attention_macs_per_s
    others = cut.ranks - 1
    if not others:
        return block_s

    def hop_s(element_bytes: int) -> float:
        return cluster.latency_s + cut.keys_and_values * element_bytes / cluster.bytes_per_s

    keys_s = hop_s(cluster.element_bytes)
    back_s = 0.0 if phase == "forward" else hop_s(max(cluster.element_bytes, SUM_BYTES))
    if method == "attention_all_gather":
        return max(block_s, others * keys_s) + others * (block_s + back_s)
    return others * max(block_s, keys_s + back_s) + block_s + back_s


def _require(method: str, known: tuple[str, ...]) -> None:
    if method not in known:
        raise ValueError(f"unknown method {method!r}: choose from {one_of(known)}{did_you_mean(method, known)}")
