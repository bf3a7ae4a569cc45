"""Claims about sequence operators: tables of kernels, what ranks send, and what language models do elsewhere."""

from __future__ import annotations

from typing import Any

import pytest

from tests.analysis.claims.conftest import case, claim, duel, frame
from vigbench.analysis.claims import choose_claims, judge_claims
from vigbench.analysis.claims.text import as_frame, as_text
from vigbench.suites.axes import Device

HEADS, KEY_DIM, VALUE_DIM, RANKS = 3, 32, 64, 4
STATE = HEADS * KEY_DIM * VALUE_DIM * 4 / 2**20  # MiB in float32
DECAYS = STATE / VALUE_DIM
GB200_MS = {  # fla's README: (batch, length, heads, channels) -> retention, gla, gated delta, FlashAttention-2
    "speed": {
        (1, 8192, 96, 128): (0.787, 1.765, 1.265, 3.753),
        (2, 16384, 16, 128): (0.792, 1.445, 1.029, 5.035),
        (4, 2048, 16, 128): (0.559, 0.514, 0.753, 0.346),
        (4, 4096, 64, 128): (0.997, 2.251, 1.581, 2.560),
        (8, 1024, 8, 64): (0.425, 0.358, 0.631, 0.157),
    },
    "training-speed": {
        (1, 8192, 96, 128): (2.618, 7.670, 4.738, 15.371),
        (2, 16384, 16, 128): (2.122, 5.984, 3.616, 19.960),
        (4, 2048, 16, 128): (1.047, 1.434, 2.085, 0.902),
        (4, 4096, 64, 128): (3.459, 10.216, 5.964, 10.815),
        (8, 1024, 8, 64): (0.898, 1.707, 1.974, 0.477),
    },
}
H100_MS = {  # an older README: length -> retention and FlashAttention-2, forward; the same of both passes
    512: (0.304, 0.098, 1.503, 0.857),
    1024: (0.357, 0.157, 1.774, 1.161),
    2048: (0.455, 0.341, 2.284, 1.956),
    4096: (0.639, 1.005, 3.375, 4.814),
    8192: (1.012, 3.625, 5.582, 15.024),
    16384: (1.749, 13.710, 10.192, 54.337),
}


def the(name: str) -> Any:
    (found,) = choose_claims([name])
    return found


def judge(one: Any, *args: Any, **evidence: Any) -> Any:
    (judged,) = judge_claims(*args, claims=[one], **evidence)
    return judged


def over_ranks(subject: str, exchange: str, **changes: Any) -> Any:
    sizes = {"resolution": None, "length": 4096, "heads": HEADS, "key_dim": KEY_DIM, "value_dim": VALUE_DIM}
    ranks = {"ranks": RANKS, "exchange": exchange, "batch_size": 1, "device": "cpu"}
    return case(subject, "torch_chunk" if subject == "gla" else "blockwise", **sizes, **ranks, **changes)


@pytest.mark.parametrize("phase", GB200_MS)
@pytest.mark.parametrize(("place", "operator"), [(0, "retention"), (1, "gla"), (2, "gated-delta")])
def test_ratios_are_those_of_the_library_s_milliseconds(place: int, operator: str, phase: str) -> None:
    one = the(f"fla-{operator}-{phase}")
    assert one.phase == ("training" if "training" in phase else "inference")
    found = {
        (one.batch_size_at(point), point.length, *one.shape_at(point)[:2]): point.published for point in one.points
    }
    assert found == pytest.approx({size: ms[-1] / ms[place] for size, ms in GB200_MS[phase].items()}, rel=0.02)


@pytest.mark.parametrize(("phase", "first"), [("speed", 0), ("training-speed", 2)])
def test_ratios_on_an_h100_are_those_of_its_milliseconds(phase: str, first: int) -> None:
    one = the(f"fla-retnet-h100-{phase}")
    assert (one.batch_size, one.shape) == (8, (32, 128, 128))
    found = {point.length: point.published for point in one.points}
    assert found == pytest.approx({length: ms[first + 1] / ms[first] for length, ms in H100_MS.items()}, rel=0.02)


def test_what_is_faster_than_flash_attention_2_at_1k_has_no_gates() -> None:
    for name, phase in (("gla-flash-attention-2", "inference"), ("gla-flash-attention-2-training", "training")):
        one = the(name)
        assert (one.ours.subject, one.theirs.subject, one.phase) == (
            "causal_linear_attention",
            "causal_attention",
            phase,
        )
        assert (one.batch_size, one.shape, one.points[0].length) == (32, (16, 64, 64), 1024)
        assert {other.ours.subject for other in one.beside} == {"causal_linear_attention", "gla_one_direction"}


def test_a_point_has_its_own_shape_and_batch() -> None:
    points = [
        {"length": 1024, "batch_size": 8, "shape": "8x64x64", "published": 2.0},
        {"length": 2048, "published": 2.0},
    ]
    sides = {"ours": {"subject": "gla"}, "theirs": {"subject": "attention", "implementation": "sdpa"}}
    table = claim(points=points, shape="16x128x128", batch_size=4, **sides)

    def pair(length: int, heads: int, dim: int, batch: int) -> Any:
        size: dict[str, Any] = {"resolution": None, "length": length, "heads": heads, "key_dim": dim, "value_dim": dim}
        gla, attention = (case(*one, batch_size=batch, **size) for one in (("gla",), ("attention", "sdpa")))
        return duel(gla, attention, 3.0)

    both = [pair(1024, 8, 64, 8), pair(2048, 16, 128, 4)]
    assert judge(table, duels=both).verdict == "supported"
    for wrong in (pair(1024, 16, 128, 8), pair(1024, 8, 64, 4)):
        assert judge(table, duels=[wrong, both[1]]).verdict == "open"


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_an_all_gather_of_states_sends_more_than_the_ring(device: str) -> None:
    one = the("lasp2-volume")
    gathered = (RANKS - 1) * 2 * ((STATE + DECAYS) + STATE)  # both directions; forward with decays, backward without
    sent = {"all_gather": gathered, "ring": 2 * 2 * STATE}
    records = [
        (over_ranks("gla", exchange, phase="training").model_copy(update={"device": Device(device)}), mib)
        for exchange, mib in sent.items()
    ]
    judged = judge(one, frame(*((where, {"sent_mib_per_rank": mib}) for where, mib in records)))
    assert (judged.verdict, judged.device) == ("refuted", "any machine")
    assert judged.points[0].measured.value == pytest.approx(1 / (RANKS - 1), rel=0.02)
    assert judged.measured_text == "0.331x"


def test_only_records_of_that_exchange_of_so_many_ranks_count() -> None:
    one = the("lasp2-volume")
    ring = over_ranks("gla", "ring", phase="training")
    for other in (
        over_ranks("gla", "all_gather", phase="training").model_copy(update={"ranks": 2}),
        over_ranks("gla", "all_gather"),
        over_ranks("gla", "ring", phase="training", threads=2),
    ):
        numbers = frame((ring, {"sent_mib_per_rank": 1.0}), (other, {"sent_mib_per_rank": 1.0}))
        judged = judge(one, numbers)
        assert (judged.verdict, judged.reason) == ("open", "no record has its count")
        assert "--ranks 4 --exchange all_gather,ring" in judged.command


def test_what_ranks_send_is_counted_where_no_record_has_it() -> None:
    volume, keys = the("lasp2-volume"), the("lasp-ring-attention-volume")
    assert judge(volume).verdict == judge(keys).verdict == "open"
    counted = judge(volume, counts={})
    assert (counted.verdict, counted.measured_text) == ("refuted", "0.331x")
    counted = judge(keys, counts={})
    # 3 / 4 of 2 x 3 x 64 numbers a token, beside 2 x 3 x 64 x 64
    assert (counted.verdict, counted.measured_text) == ("supported", "12x at 1024, 48x at 4096, 192x at 16384 tokens")


def test_numbers_of_other_kinds_say_their_unit_and_stay_open() -> None:
    tokens = judge(the("lasp2-throughput"))
    assert (tokens.verdict, tokens.reason) == ("open", the("lasp2-throughput").lacks)
    assert tokens.published == "67,344 at 131072, 245,353 at 524288, 442,221 at 1048576 tokens (tokens/s)"
    perplexity = judge(the("regla-perplexity"))
    assert perplexity.published == "19 perplexity"
    text = as_text([tokens, perplexity])
    assert "open: vigbench trains no language model" in text
    assert "--measure" not in text
    assert as_frame([tokens, perplexity])["quantity"].tolist() == ["tokens/s"] * 3 + ["perplexity"]


def test_what_is_not_verified_says_so() -> None:
    for pattern in ("retnet-*", "mamba2-*", "regla-*perplexity"):
        for one in choose_claims([pattern]):
            assert "unverified" in one.source, one.id
