"""A time of one device on several: what the model says where it can be said without it."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import pytest

from vigbench.analysis.rank_scaling import Alone, measured_alone, scale_over_ranks, sent_bytes
from vigbench.suites.case import Case
from vigbench.suites.shape import Shape

SHAPE = Shape(3, 32, 64)
OPERATOR = {"subject": "gla", "length": 4096, "heads": 3, "key_dim": 32, "value_dim": 64}
FAST = 1e6  # GB/s: sending takes no time


def frame_of(times: Sequence[tuple[Case, float]]) -> pd.DataFrame:
    rows = [{**case.model_dump(mode="json"), "status": "ok", "latency_ms": time_ms} for case, time_ms in times]
    return pd.DataFrame(rows)


def alone(**changes: Any) -> Alone:
    return Alone(**{"length": 65536, "shape": SHAPE, "time_ms": 12.0, **changes})


@pytest.mark.parametrize("phase", ["inference", "training"])
def test_without_a_price_of_sending_the_time_is_that_of_the_products(phase: str) -> None:
    frame = scale_over_ranks([alone(phase=phase)], [2, 4], [FAST], step_us=0)
    # of six products a token and direction; four more for the states that leave and enter
    assert list(frame["predicted_ms"]) == pytest.approx([10, 10, 5, 5], rel=1e-3)
    assert list(frame["speedup"]) == pytest.approx([1.2, 1.2, 2.4, 2.4], rel=1e-3)


def test_a_slow_network_is_all_that_is_left() -> None:
    (one,) = scale_over_ranks([alone()], [4], [1e-6]).query("exchange == 'all_gather'").to_dict("records")
    assert one["predicted_ms"] == pytest.approx(one["sent_mib_per_rank"] * 2**20 / 1e3 * 1e3, rel=1e-3)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_states_do_not_grow_and_cross_keys_and_values_where_both_are_equal(precision: str) -> None:
    frame = scale_over_ranks([alone(precision=precision)], [4], [25.0], lengths=[8192, 65536])
    for _, rows in frame.groupby("exchange"):
        assert rows["sent_mib_per_rank"].nunique() == 1
        assert rows["crossover_tokens"].nunique() == 1
        assert list(rows["key_value_mib_per_rank"] / rows["sent_mib_per_rank"]) == pytest.approx(
            list(rows["length"] / rows["crossover_tokens"])
        )
    gathered = frame[frame["exchange"] == "all_gather"]["crossover_tokens"].iloc[0]
    assert gathered == pytest.approx(4 * 43.3 * (2 if precision == "bfloat16" else 1), rel=1e-2)


def test_an_unknown_length_costs_as_much_a_token_as_the_longest_that_is_known() -> None:
    times = [alone(), alone(length=1024, time_ms=1.0)]
    frame = scale_over_ranks(times, [2], [25.0], lengths=[1024, 131072])
    assert dict(zip(frame["length"], frame["alone_ms"], strict=True)) == {1024: 1.0, 131072: 24.0}


def test_attention_is_overtaken_where_it_was_measured() -> None:
    assert scale_over_ranks([alone()], [2], [25.0])["faster_from_tokens"].isna().all()
    frame = scale_over_ranks([alone(attention_ms=400.0)], [2], [25.0])
    assert (frame["faster_from_tokens"] < 65536).all()


@pytest.mark.parametrize(("ranks", "rates"), [([1], [25.0]), ([2], [0.0])])
def test_what_makes_no_sense_is_refused(ranks: list[int], rates: list[float]) -> None:
    with pytest.raises(ValueError, match="2 ranks or more, and bandwidths above 0"):
        scale_over_ranks([alone()], ranks, rates)


def test_times_of_a_run_are_those_of_one_device_by_the_fastest_code() -> None:
    frame = frame_of(
        [
            (Case(**OPERATOR, implementation="torch_chunk"), 5.0),
            (Case(**OPERATOR, implementation="reference"), 50.0),
            (Case(**OPERATOR, ranks=2), 3.0),
            (Case(**{**OPERATOR, "subject": "attention"}, implementation="sdpa"), 20.0),
        ]
    )
    assert measured_alone(frame) == [Alone(4096, SHAPE, 5.0, attention_ms=20.0)]
    with pytest.raises(ValueError, match="No record has latency_ms of the operator gla on one device"):
        measured_alone(frame[frame["subject"] == "attention"])


def test_what_a_case_sends_is_known_for_two_operators() -> None:
    ring = Case(**OPERATOR, ranks=4, exchange="ring", phase="training", batch_size=2)
    assert sent_bytes(ring, "gla") == 2 * 2 * 2 * 3 * 32 * 64 * 4
    keys = Case(**{**OPERATOR, "subject": "attention"}, ranks=4, precision="bfloat16")
    assert sent_bytes(keys, "attention") == 3 * 1024 * 3 * (64 + 64) * 2, "keys are filled up to values' width"
    assert sent_bytes(Case(**OPERATOR), "gla") is None
    assert sent_bytes(ring, "gsa") is None
    assert sent_bytes(Case(subject="vig_tiny_patch16_224", resolution=224, ranks=2), "gla") is None
