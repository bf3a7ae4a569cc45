"""Frames whose laws, crossings and limits are known."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest

from vigbench.analysis.capacity import LIMIT_PX, STEP_PX, device_memory_mib, largest_resolution
from vigbench.analysis.crossovers import crossovers
from vigbench.analysis.curves import curves_of, extent_of, tokens_of
from vigbench.analysis.scaling import fit_scaling
from vigbench.analysis.scaling_text import FORMATS, Scaling
from vigbench.records.schema import Metrics, Record, columns
from vigbench.suites.case import Case

PX = (224, 384, 512, 768, 1024)
Law = Callable[[float], float]
LAWS: dict[str, Law] = {
    "vig": lambda n: 10 + 0.02 * n,
    "deit": lambda n: 1 + 0.02 * n + 2e-5 * n * n,
}
HOSTILE = "evil\x1b[2J|<b>`rm -rf`*.[net]"


def record(subject: str, extent: int, value: float | None, *, status: str = "ok", **settings: Any) -> Record:
    operator = settings.pop("operator", False)
    processes = settings.pop("processes", 1)
    where: Mapping[str, Any] = (
        {"length": extent, "heads": 3, "key_dim": 32, "value_dim": 64} if operator else {"resolution": extent}
    )
    case = Case(subject=subject, **where, **settings)
    known = status == "ok" and value is not None
    metrics = Metrics(
        latency_ms=value if known else None,
        latency_low_ms=value * 0.99 if known else None,
        latency_high_ms=value * 1.01 if known else None,
        peak_memory_mib=value if known else None,
        processes=processes,
    )
    return Record(
        case_id=case.case_id,
        case=case,
        family="other",
        status=status,
        started_at="2026-01-01T00:00:00Z",
        metrics=metrics,
    )


def frame(records: Iterable[Record], run: str = "demo") -> pd.DataFrame:
    return pd.DataFrame([{"run": run, **one.row()} for one in records], columns=["run", *columns()])


def sweep(laws: Mapping[str, Law], extents: Iterable[int] = PX, **settings: Any) -> list[Record]:
    over = "length" if settings.get("operator") else "resolution"
    return [record(name, one, law(tokens_of(over, one)), **settings) for name, law in laws.items() for one in extents]


def test_the_law_stands_in_its_columns_over_patches_of_16_px() -> None:
    found = fit_scaling(frame(sweep(LAWS))).set_index("subject")
    deit = found.loc["deit"]
    assert deit["constant_ms"] == pytest.approx(1, rel=1e-4)
    assert deit["linear_ms_per_token"] == pytest.approx(0.02, rel=1e-6)
    assert deit["quadratic_ms_per_token2"] == pytest.approx(2e-5, rel=1e-6)
    assert deit["linear_low_ms_per_token"] < 0.02 < deit["linear_high_ms_per_token"]
    n = (1024 / 16) ** 2
    assert deit["exponent"] == pytest.approx((0.02 * n + 4e-5 * n * n) / LAWS["deit"](n))
    assert deit["exponent_low"] < deit["exponent"] < deit["exponent_high"]
    assert list(found["points"]) == [5, 5]
    assert list(found["fits"]) == [True, True]
    assert deit["next"] == 1536
    assert deit["predicted"] == pytest.approx(LAWS["deit"]((1536 / 16) ** 2), rel=1e-6)
    assert deit["predicted_low"] < deit["predicted"] < deit["predicted_high"]
    assert not any(found["reason"])


def test_an_operator_s_size_is_its_length() -> None:
    found = fit_scaling(frame(sweep({"gla": lambda n: 2 + 0.5 * n}, (196, 1024, 4096, 16384), operator=True)))
    assert found["linear_ms_per_token"][0] == pytest.approx(0.5)
    assert (found["over"][0], found["next"][0]) == ("length", 65536)


def test_memory_has_its_own_unit_and_hardly_any_noise() -> None:
    time, memory = (fit_scaling(frame(sweep(LAWS)), name) for name in ("latency_ms", "peak_memory_mib"))
    assert "linear_mib_per_token" in memory
    widths = [one["predicted_high"][0] / one["predicted_low"][0] for one in (memory, time)]
    assert 1 < widths[0] < widths[1]


def test_a_curve_mixes_nothing() -> None:
    double = {name: lambda n, law=law: 2 * law(n) for name, law in LAWS.items()}
    frames = [
        frame(sweep(LAWS)),
        frame(sweep(double, batch_size=2)),
        frame(sweep(double, implementation="sdpa")),
        frame(sweep(double, phase="training")),
        frame(sweep(double), run="other"),
    ]
    together = pd.concat(frames, ignore_index=True)
    found = fit_scaling(together)
    assert len(found) == 10
    assert list(found["points"]) == [5] * 10
    assert not found["exponent"].isna().any()
    pairs = crossovers(together)
    assert len(pairs) == 2 * 3 + 12  # two curves in each of three settings, and four that differ in implementation
    with pytest.raises(ValueError, match="more than once"):
        fit_scaling(together.drop(columns="run"))


def test_missing_values_and_failures_are_left_out_and_said() -> None:
    rows = sweep({"vig": LAWS["vig"]})
    rows[2] = record("vig", 512, None)
    rows[4] = record("vig", 1024, None, status="out_of_memory")
    rows += [record("resnet", 224, 3.0), record("nothing", 224, None, status="error")]
    rows += sweep({"two": LAWS["vig"]}, PX[:2]) + sweep({"four": LAWS["vig"]}, PX[:4])
    found = fit_scaling(frame(rows)).set_index("subject")
    assert list(found["points"]) == [3, 1, 0, 2, 4]
    assert found["largest"]["vig"] == 768
    assert found["exponent"].notna().to_dict() == {
        "vig": True, "resnet": False, "nothing": False, "two": False, "four": True
    }  # fmt: skip
    assert found["exponent_between"]["two"] < 1
    assert found["predicted"].notna().to_dict() == {
        "vig": False, "resnet": False, "nothing": False, "two": False, "four": True
    }  # fmt: skip
    assert found["reason"].to_dict() == {
        "vig": "3 sizes: a prediction needs 4",
        "resnet": "1 size: a law needs 3, a prediction 4",
        "nothing": "no value: a law needs 3, a prediction 4",
        "two": "2 sizes: a law needs 3, a prediction 4",
        "four": "",
    }
    pairs = crossovers(frame(rows))
    assert "nothing" not in set(pairs["a"]) | set(pairs["b"])


def test_a_law_that_does_not_fit_says_so() -> None:
    found = fit_scaling(frame(sweep({"cliff": lambda n: n * (3 if n > 2000 else 1)})))
    assert not found["fits"][0]
    assert "more than noise explains" in found["reason"][0]


def test_more_processes_make_a_value_better_known() -> None:
    errors = [
        curves_of(frame(sweep({"vig": LAWS["vig"]}, processes=count)), "latency_ms")[0].errors[0] for count in (1, 5)
    ]
    assert errors[0] > 0.05 > 0.01 > errors[1] > 0.004


def test_the_crossover_is_where_the_laws_meet() -> None:
    found = crossovers(frame(sweep(LAWS, range(224, 1025, 32)))).set_index(["a", "b"])
    truth = extent_of("resolution", (9 / 2e-5) ** 0.5)
    row = found.loc["vig", "deit"]
    assert row["kind"] == "measured"
    assert row["crossing"] == pytest.approx(truth, rel=0.01)
    assert row["low"] < truth < row["high"]
    assert row["sentence"].startswith(f"vig takes less time than deit from {row['crossing']:.0f} px (")
    assert found.loc["deit", "vig"]["kind"] == "never"
    assert (row["smallest"], row["largest"]) == (224, 1024)


@pytest.mark.parametrize(
    ("a", "b", "pairs"),
    [
        (None, None, 6),
        ("vig", None, 2),
        ("vig", "deit", 2),
        ("vig", "deit@sdpa", 1),
        ("*", "deit@*", 4),
        ("vig", "d*", 2),
    ],
)
def test_sides_are_subjects_implementations_or_globs(a: str | None, b: str | None, pairs: int) -> None:
    rows = sweep({"vig": LAWS["vig"]})
    rows += [one for name in ("sdpa", "eager") for one in sweep({"deit": LAWS["deit"]}, implementation=name)]
    assert len(crossovers(frame(rows), a=a, b=b)) == pairs


def test_sentences_of_every_kind() -> None:
    def sentence(one: Law, two: Law) -> str:
        return str(crossovers(frame(sweep({"one": one, "two": two})), a="one")["sentence"][0])

    assert (
        sentence(lambda n: n, lambda n: 2 * n)
        == "one takes less time than two at every size measured (224 to 1024 px)."
    )
    assert sentence(lambda n: n, lambda n: n) == "one and two are level within the noise (224 to 1024 px)."
    assert sentence(lambda n: 2 * n, lambda n: n) == (
        "No size is found from which one takes less time than two on (224 to 1024 px)."
    )
    start = sentence(lambda n: n, lambda n: n * (1 if n < 200 else 2))
    assert "at every size measured" not in start or "beyond the noise from" in start
    rows = [
        row
        for name, law in {"one": (5, 0.1, 0), "two": (5, 0.02, 1e-5)}.items()
        for row in sweep({name: lambda n, law=law: law[0] + law[1] * n + law[2] * n * n}, processes=9)
    ]
    beyond = crossovers(frame(rows), a="one")
    assert beyond["kind"][0] == "extrapolated"
    assert beyond["crossing"][0] == pytest.approx(16 * 8000**0.5)
    assert beyond["sentence"][0].startswith(
        "By the fitted laws, not measured beyond 1024 px: one takes less time than two from 1431 px ("
    )


def test_the_largest_resolution_is_that_of_the_law() -> None:
    truth = {"vig": lambda n: 100 + 0.01 * n, "deit": lambda n: 100 + 0.01 * n + 2e-5 * n * n}
    found = largest_resolution(frame(sweep(truth)), 4096).set_index("subject")
    for name, law in truth.items():
        px = int(found["largest_px"][name])
        assert px % STEP_PX == 0
        assert law(tokens_of("resolution", px)) <= 4096 < law(tokens_of("resolution", px + STEP_PX))
        assert found["largest_low_px"][name] <= px <= found["largest_high_px"][name]
    assert list(found["memory_mib"]) == [4096] * 2
    assert list(found["largest_ok_px"]) == [1024] * 2


def test_what_was_measured_overrules_the_law() -> None:
    values = {224: 100.0, 384: 100.0, 512: 100.0, 768: 900.0, 1024: 950.0}
    rows = [record("step", px, value) for px, value in values.items()]
    rows.append(record("step", 2048, None, status="out_of_memory"))
    found = largest_resolution(frame(rows), 899).iloc[0]
    assert 512 <= found["largest_low_px"] <= found["largest_px"] <= found["largest_high_px"] < 768
    assert found["smallest_out_of_memory_px"] == 2048
    assert largest_resolution(frame(rows), 951).iloc[0]["largest_low_px"] >= 1024


def test_limits_of_what_can_be_said_of_memory() -> None:
    flat = largest_resolution(frame(sweep({"flat": lambda n: 100.0})), 4096).iloc[0]
    assert pd.isna(flat["largest_px"])
    assert str(LIMIT_PX) in flat["reason"]
    assert largest_resolution(frame(sweep({"flat": lambda n: 100.0})), 50).iloc[0]["largest_px"] == 0
    three = largest_resolution(frame(sweep({"deit": LAWS["deit"]}, PX[:3])), 4096).iloc[0]
    assert three["largest_px"] > 1024
    assert pd.isna(three["largest_low_px"])
    assert "a prediction needs 4" in three["reason"]
    operators = frame(sweep({"gla": LAWS["vig"]}, (196, 1024, 4096, 16384), operator=True))
    assert largest_resolution(operators, 4096).empty


def test_memory_comes_from_the_run_the_frame_or_the_caller() -> None:
    runs = pd.concat([frame(sweep(LAWS), run=name) for name in "ab"], ignore_index=True)
    found = largest_resolution(runs, {"a": 500.0, "b": 5000.0})
    assert list(found["memory_mib"]) == [500, 500, 5000, 5000]
    assert found["largest_px"][0] < found["largest_px"][2]
    known = largest_resolution(runs.assign(device_memory_mib=np.where(runs["run"] == "a", 500.0, 5000.0)))
    pd.testing.assert_frame_equal(known, found)
    with pytest.raises(ValueError, match="give memory_mib"):
        largest_resolution(runs)
    with pytest.raises(ValueError, match="run b is not given"):
        largest_resolution(runs, {"a": 500.0})
    for nonsense in (0, -3, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="makes no sense"):
            largest_resolution(runs, nonsense)


def test_a_device_s_memory_by_its_run() -> None:
    machine = {"memory_gib": {"total": 64, "available": 32.0}}
    assert device_memory_mib({"device": "cpu", "environment": {**machine, "gpu": None}}) == 32 * 1024
    assert device_memory_mib({"device": "cuda", "environment": {**machine, "gpu": {"memory_gib": 79.2}}}) == 79.2 * 1024
    assert device_memory_mib({"device": "cuda", "environment": machine}) is None
    assert device_memory_mib({}) is None


@pytest.mark.parametrize(
    ("metric", "drop", "message"),
    [
        ("throughput_img_per_s", None, "is a rate.*latency_ms"),
        ("latncy_ms", None, "did you mean 'latency_ms'"),
        ("gmacs", None, "Choose latency_ms"),
        ("latency_ms", "batch_size", "lacks batch_size; pass one from vigbench.load_results"),
        ("latency_ms", "latency_ms", "lacks latency_ms"),
        ("latency_ms", "status", "lacks status"),
    ],
)
def test_what_cannot_be_fitted_is_refused_with_advice(metric: str, drop: str | None, message: str) -> None:
    of = frame(sweep(LAWS))
    of = of.drop(columns=drop) if drop else of
    for refuse in (fit_scaling, crossovers):
        with pytest.raises(ValueError, match=message):
            refuse(of, metric)


def test_a_frame_without_sizes_or_a_side_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="lacks resolution"):
        fit_scaling(frame(sweep(LAWS)).drop(columns=["resolution", "length"]))
    with pytest.raises(ValueError, match=r"matches b='vgi'; did you mean 'vig'\? There are: deit, vig\."):
        crossovers(frame(sweep(LAWS)), b="vgi")
    with pytest.raises(ValueError, match="more than the 20,000"):
        crossovers(frame([record(f"s{one}", 224, 1.0) for one in range(200)]))
    empty = frame([])
    assert fit_scaling(empty).empty
    assert crossovers(empty).empty


def test_a_hostile_name_is_a_name() -> None:
    of = frame(sweep({HOSTILE: LAWS["vig"], "deit": LAWS["deit"]}))
    pairs = crossovers(of, a=HOSTILE)
    assert list(pairs["a"]) == [HOSTILE]
    told = Scaling(fit_scaling(of), crossovers(of), largest_resolution(of, 500.0))
    texts = {name: form(told) for name, form in FORMATS.items()}
    assert "\x1b" not in texts["table"] + texts["json"]
    assert "<b>" not in texts["markdown"]
    assert "|<" not in texts["markdown"]


def test_the_text_tells_each_thing_once() -> None:
    rows = [*sweep({"vig": LAWS["vig"], "twin": LAWS["vig"], "deit": LAWS["deit"]}), record("one", 224, 5.0)]
    of = frame(rows)
    text = FORMATS["table"](Scaling(fit_scaling(of), crossovers(of), None, "No memory is known."))
    assert text.count("are level within the noise") == 1
    assert "No size is found" not in text
    assert "Not shown, with fewer than 2 sizes: 1 curve." in text
    assert text.endswith("No memory is known.")
