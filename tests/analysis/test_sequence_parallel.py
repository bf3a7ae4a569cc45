"""What is sent, by the formulas that papers and countings give; how long it takes, where that is plain."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigbench.analysis.sequence_parallel import (
    BUILT,
    METHODS,
    Cluster,
    CutSequence,
    bytes_sent,
    crossover_length,
    crossover_tokens,
    elements_sent,
    halo_elements,
    mean_elements,
    time_s,
)

PAGE = (Path(__file__).parents[2] / "docs" / "sequence-parallel.md").read_text()
VIG_T = CutSequence(length=4096, ranks=4)  # at 1024 px
CLUSTER = Cluster(latency_s=1e-5, bytes_per_s=1e11, gla_macs_per_s=5e13, attention_macs_per_s=2e14)
CUTS = st.builds(
    CutSequence,
    length=st.integers(64, 2**20),
    ranks=st.integers(1, 64),
    heads=st.integers(1, 16),
    key_dim=st.integers(1, 128),
    value_dim=st.integers(1, 128),
    batch=st.integers(1, 8),
)


def test_elements_of_vig_t_at_1024_px_and_2048_px() -> None:
    assert elements_sent("gla_ring", VIG_T) == 12_288
    assert elements_sent("gla_all_gather", VIG_T) == 37_440
    for method in ("attention_ring", "attention_all_gather"):
        assert elements_sent(method, VIG_T) == 884_736
        assert elements_sent(method, replace(VIG_T, length=16_384)) == 3_538_944


@pytest.mark.parametrize("ranks", [2, 4, 8, 16])
def test_the_document_s_volumes(ranks: int) -> None:
    cut = replace(VIG_T, ranks=ranks)
    sent = [elements_sent(method, cut) for method in ("gla_ring", "gla_all_gather", "attention_ring")]
    assert f"| {ranks} | " + " | ".join(f"{one:,.0f}" for one in sent) + " |" in PAGE


def test_backward_passes() -> None:
    assert elements_sent("gla_ring", VIG_T, "backward") == 12_288
    assert elements_sent("gla_all_gather", VIG_T, "backward") == 3 * 12_288  # the decays are known by then
    assert elements_sent("attention_ring", VIG_T, "backward") == 2 * 884_736


def test_an_all_to_all_sends_four_parts_less_its_own_share() -> None:
    part = 1024 * 3 * (32 + 64)
    assert elements_sent("attention_all_to_all", VIG_T) == 2 * part * 3 / 4
    assert elements_sent("gla_all_to_all", VIG_T) == (2 * part + 2 * 1024 * 3 * 32) * 3 / 4


@given(CUTS)
def test_states_do_not_grow_with_the_length_and_keys_do(cut: CutSequence) -> None:
    longer = replace(cut, length=2 * cut.length)
    for method in METHODS:
        factor = 1 if method in ("gla_ring", "gla_all_gather") else 2
        assert elements_sent(method, longer) == pytest.approx(factor * elements_sent(method, cut))


@given(CUTS)
def test_a_ring_of_three_or_more_sends_the_same_however_many_they_are(cut: CutSequence) -> None:
    sent = elements_sent("gla_ring", cut)
    assert sent == min(2, cut.ranks - 1) * cut.state
    assert elements_sent("gla_all_gather", cut) >= sent


@given(CUTS, st.sampled_from(BUILT), st.sampled_from(["forward", "backward"]))
def test_one_rank_sends_nothing_and_several_need_no_less_than_their_own_work(
    cut: CutSequence, method: str, phase: str
) -> None:
    one = replace(cut, ranks=1)
    assert elements_sent(method, one, phase) == 0
    slower = replace(CLUSTER, bytes_per_s=CLUSTER.bytes_per_s / 2)
    assert time_s(method, cut, slower, phase) >= time_s(method, cut, CLUSTER, phase)
    assert time_s(method, cut, CLUSTER, phase) >= time_s(method, one, CLUSTER, phase) / cut.ranks * 0.999


def test_a_state_is_worth_43_tokens_in_one_precision_and_twice_that_in_half_precision() -> None:
    tokens = crossover_tokens(32, 64)
    assert f"{tokens:.0f} tokens a rank" in PAGE
    assert f"bfloat16 below {2 * tokens:.0f}." in PAGE
    assert crossover_tokens(32, 64, element_bytes=2) == 2 * tokens
    for element_bytes in (2, 4):
        at = replace(VIG_T, length=4 * crossover_tokens(32, 64, element_bytes))
        states, keys = (bytes_sent(one, at, "forward", element_bytes) for one in ("gla_all_gather", "attention_ring"))
        assert states == pytest.approx(keys)


def test_bytes_are_those_of_the_precision_that_is_sent() -> None:
    assert bytes_sent("gla_ring", VIG_T) == 4 * 12_288
    assert bytes_sent("attention_ring", VIG_T) == 2 * 884_736
    assert bytes_sent("attention_ring", VIG_T, "backward") == (2 + 4) * 884_736
    assert bytes_sent("gla_ring", VIG_T, element_bytes=8) == 8 * 12_288


def test_time_without_a_network_is_that_of_the_products() -> None:
    free = replace(CLUSTER, latency_s=0, bytes_per_s=1e30)
    tokens, state = 1024, 3 * 32 * 64
    for method in ("gla_ring", "gla_all_gather"):
        assert time_s(method, VIG_T, free) == pytest.approx(10 * tokens * state / 5e13)
        assert time_s(method, VIG_T, free, "backward") == pytest.approx(20 * tokens * state / 5e13)
    for method in ("attention_ring", "attention_all_gather"):
        assert time_s(method, VIG_T, free) == pytest.approx(4 * 3 * 96 * tokens**2 / 2e14)


def test_time_of_latency_alone_is_that_of_dependent_hops() -> None:
    slow = replace(CLUSTER, latency_s=1.0)
    for method in BUILT:
        assert time_s(method, VIG_T, slow) == pytest.approx(3, rel=1e-3)


@pytest.mark.parametrize("phase", ["forward", "backward"])
def test_from_the_crossover_on_states_are_faster(phase: str) -> None:
    cluster = replace(CLUSTER, latency_s=0)
    length = crossover_length(VIG_T, cluster, phase)
    assert length is not None

    def faster(length: int) -> bool:
        states, keys = (
            time_s(one, replace(VIG_T, length=length), cluster, phase) for one in ("gla_ring", "attention_ring")
        )
        return states < keys

    assert not faster(length - 4)
    assert all(faster(length * factor) for factor in (1, 2, 64))


def test_there_may_be_no_crossover_or_none_is_needed() -> None:
    assert crossover_length(VIG_T, replace(CLUSTER, gla_macs_per_s=1e3)) is None
    assert crossover_length(VIG_T, replace(CLUSTER, gla_macs_per_s=1e30, attention_macs_per_s=1.0)) == 4


def test_what_a_model_sends_besides() -> None:
    assert halo_elements(192, 64, ranks=4, batch=2) == 2 * 2 * 64 * 192
    assert halo_elements(192, 64, ranks=2) == 64 * 192
    assert halo_elements(192, 64, ranks=1) == 0
    assert mean_elements(192, ranks=4) == 288
    assert mean_elements(192, ranks=1) == 0


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match=r"unknown method 'gla_rings': choose from .*did you mean 'gla_ring'"):
        elements_sent("gla_rings", VIG_T)
    with pytest.raises(ValueError, match="unknown method 'gla_all_to_all'"):
        time_s("gla_all_to_all", VIG_T, CLUSTER)
    with pytest.raises(ValueError, match="no rank may be without a token"):
        CutSequence(length=3, ranks=4)
    with pytest.raises(ValueError, match="rates have to be above 0"):
        replace(CLUSTER, bytes_per_s=0)
