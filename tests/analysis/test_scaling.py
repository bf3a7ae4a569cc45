"""Frames whose laws, crossings and limits are known."""

import pandas as pd
import pytest

from tests.analysis.growing import HOSTILE, LAWS, PX, frame, of_volumes, record, sweep
from vigbench.analysis.capacity import largest_resolution
from vigbench.analysis.crossovers import crossovers
from vigbench.analysis.curves import curves_of
from vigbench.analysis.scaling import fit_scaling
from vigbench.analysis.scaling_text import FORMATS, Scaling


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


def test_volumes_grow_over_their_voxels() -> None:
    rows = frame(of_volumes({"linear": lambda n: 0.5 * n, "square": lambda n: 0.001 * n**2}, (64, 96, 128, 160, 192)))
    found = fit_scaling(rows).set_index("subject")
    assert found.loc["linear", "exponent"] == pytest.approx(1, rel=1e-3)
    assert found.loc["square", "exponent"] == pytest.approx(2, rel=1e-3)
    assert found.loc["linear", "linear_ms_per_token"] == pytest.approx(0.5, rel=1e-3)
    crossing = crossovers(rows).set_index(["a", "b"]).loc["linear", "square"]
    assert crossing["crossing"] == pytest.approx(16 * 500 ** (1 / 3), rel=0.01)


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


@pytest.mark.parametrize(
    ("metric", "drop", "message"),
    [
        ("throughput_per_s", None, "is a rate.*latency_ms"),
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


def test_curves_of_images_of_other_proportions_are_told_apart() -> None:
    wide = [record("vig", f"{px}x{2 * px}", 5.0 * px) for px in PX]
    of = frame([*sweep({"vig": LAWS["vig"]}), *wide])
    text = FORMATS["table"](Scaling(fit_scaling(of), crossovers(of), largest_resolution(of, 1e6)))
    assert text.count("\nvig (aspect 1:2) ") == text.count("\nvig  ") == 2


def test_kernel_times_of_two_kinds_are_two_curves() -> None:
    found = frame([*sweep(LAWS), record("deit", 2048, None, status="out_of_memory")])
    found = found.assign(kernel_ms=found["latency_ms"], kernel_low_ms=None, kernel_high_ms=None)
    found["kernel_time_source"] = [
        None if pd.isna(ms) else "profile" if px < 512 else "events"
        for px, ms in zip(found["resolution"], found["kernel_ms"], strict=True)
    ]
    curves = {(one.name, one.settings["kernel_time_source"]): one for one in curves_of(found, "kernel_ms")}
    assert {name: one.extents for name, one in curves.items()} == {
        (name, source): extents
        for name in LAWS
        for source, extents in (("profile", (224, 384)), ("events", (512, 768, 1024)))
    }
    assert all(one.failed == {2048: "out_of_memory"} for (name, _), one in curves.items() if name == "deit")
    fitted = fit_scaling(found, "kernel_ms").set_index(["subject", "kernel_time_source"])
    assert fitted["points"].to_dict() == {key: len(one.extents) for key, one in curves.items()}
    pairs = crossovers(found, "kernel_ms", "vig", "deit")
    assert list(pairs["kernel_time_source"]) == ["profile", "events"]
    assert "kernel_time_source" not in fit_scaling(found, "latency_ms")
    assert len(curves_of(found, "latency_ms")) == len(LAWS)


def disturbed_at(of: pd.DataFrame, subject: str, *sizes: int) -> pd.DataFrame:
    """The same, with the times of some sizes three times as long, and marked."""
    there = (of["subject"] == subject) & of["resolution"].isin(sizes)
    return of.assign(
        marks=of["marks"].mask(there, "contended"),
        **{name: of[name].mask(there, 3 * of[name]) for name in ("latency_ms", "latency_low_ms", "latency_high_ms")},
    )


def test_disturbed_sizes_are_left_out_of_a_law_and_named() -> None:
    of = disturbed_at(frame(sweep(LAWS)), "deit", 512)
    found = fit_scaling(of).set_index("subject")
    assert found["disturbed"].to_dict() == {"vig": "", "deit": "512"}
    assert list(found["points"]) == [5, 4]
    assert found.loc["deit", "quadratic_ms_per_token2"] == pytest.approx(2e-5, rel=1e-6)
    assert found["reason"].to_dict() == {"vig": "", "deit": "1 of 5 sizes left out as disturbed"}
    memory = fit_scaling(of, "peak_memory_mib").set_index("subject")
    assert list(memory["points"]) == [5, 5], "memory is not disturbed"


def test_where_too_few_sizes_are_left_nothing_is_claimed() -> None:
    of = disturbed_at(frame(sweep(LAWS)), "deit", *PX[:4])
    deit = fit_scaling(of).set_index("subject").loc["deit"]
    assert deit["exponent":"predicted_high"].drop(["fits"]).isna().all()
    assert deit["reason"] == "1 size: a law needs 3, a prediction 4; 4 of 5 sizes left out as disturbed"
    assert "no undisturbed value" in fit_scaling(disturbed_at(of, "deit", 1024))["reason"][1]
    text = FORMATS["table"](Scaling(fit_scaling(of), crossovers(of), None))
    assert "Left out as disturbed: 4 of 10 values." in text
    assert "Of 1 pair of curves nothing can be told" in text
    assert "takes less time" not in text


def test_the_largest_size_that_ran_is_known_whatever_its_time_or_curve() -> None:
    rows = [record("vig", px, value) for px, value in zip(PX, (10.0, 90.0, 60.0, 100.0, 150.0), strict=True)]
    assert list(largest_resolution(frame(rows), 500.0)["largest_ok_px"]) == [1024]
    falling = [*rows[:4], record("vig", 1024, 50.0)]
    assert list(largest_resolution(frame(falling), 500.0)["largest_ok_px"]) == [1024]
