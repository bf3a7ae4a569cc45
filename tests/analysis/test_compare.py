import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

import vigbench
from tests.analysis import growing
from vigbench.analysis.sides import Measurement
from vigbench.measure.environment import describe_environment

WriteRun = Callable[..., Path]
MODELS = {"resnet18": 10.0, "resnet50": 30.0}


def test_equal_runs_are_the_same(write_run: WriteRun) -> None:
    frame = vigbench.compare(write_run("base", MODELS), write_run("head", MODELS))
    assert list(frame["verdict"]) == ["SAME", "SAME"]
    assert not frame["regression"].any()
    assert (frame["ratio_low"] <= frame["ratio"]).all()
    assert (frame["ratio"] <= frame["ratio_high"]).all()
    assert frame["ratio"].to_numpy() == pytest.approx(1, abs=0.02)


def test_ten_per_cent_are_found_in_the_case_that_has_them(write_run: WriteRun) -> None:
    base, head = write_run("base", MODELS), write_run("head", {**MODELS, "resnet18": 11.0})
    frame = vigbench.compare(base, head).set_index("subject")
    assert frame.loc["resnet18", "verdict"] == "SLOWER"
    assert frame.loc["resnet18", "ratio"] == pytest.approx(1.1, abs=0.02)
    assert frame.loc["resnet50", "verdict"] == "SAME"
    assert list(vigbench.compare(head, base)["verdict"]) == ["FASTER", "SAME"]
    assert list(vigbench.compare(base, head, margin=0.2)["verdict"]) == ["SAME", "SAME"]


def test_the_sides_may_be_folders_patterns_runs_or_frames(write_run: WriteRun, tmp_path: Path) -> None:
    base, head = write_run("base", MODELS), write_run("head", {"resnet18": 20.0, "resnet50": 60.0})
    for one, two in [
        (str(base), str(head)),
        (str(tmp_path / "bas*"), [head]),
        (SimpleNamespace(folder=base), SimpleNamespace(folder=head)),
        (vigbench.load_results(base), vigbench.load_results(head)),
        (base, vigbench.load_results(head)),
    ]:
        frame = vigbench.compare(one, two)
        assert list(frame["verdict"]) == ["SLOWER", "SLOWER"]
        assert frame["ratio"].to_numpy() == pytest.approx(2, abs=0.05)


def test_one_process_cannot_show_the_spread_between_processes(write_run: WriteRun) -> None:
    base = write_run("base", MODELS, processes=1)
    frame = vigbench.compare(base, write_run("head", {"resnet18": 11.0, "resnet50": 90.0}, processes=1))
    assert list(frame["verdict"]) == ["INCONCLUSIVE", "SLOWER"]


def test_runs_that_match_a_pattern_count_together(write_run: WriteRun, tmp_path: Path) -> None:
    for number in range(4):
        write_run(f"base-{number}", MODELS, processes=1)
        write_run(f"head-{number}", {"resnet18": 11.0, "resnet50": 30.0}, processes=1)
    frame = vigbench.compare(str(tmp_path / "base-*"), str(tmp_path / "head-*"))
    assert list(frame["verdict"]) == ["SLOWER", "SAME"]


def test_one_run_that_failed_is_not_hidden_by_those_that_did_not(write_run: WriteRun, tmp_path: Path) -> None:
    base = write_run("base", MODELS)
    for number, status in enumerate(["ok", "crashed", "ok"]):
        write_run(f"head-{number}", MODELS, status=status)
    frame = vigbench.compare(base, str(tmp_path / "head-*"))
    assert set(frame["head_status"]) == {"crashed"}
    assert frame["regression"].all()


def test_the_value_of_several_runs_is_of_all_of_them(write_run: WriteRun, tmp_path: Path) -> None:
    for number, level in enumerate((10.0, 40.0)):
        write_run(f"head-{number}", {"resnet18": level}, processes=1, noise=0.0)
    frame = vigbench.compare(write_run("base", MODELS), str(tmp_path / "head-*"))
    assert frame["head"][0] == pytest.approx(20.0)


def test_pooled_runs_are_calibrated_only_if_all_are(write_run: WriteRun, tmp_path: Path) -> None:
    base = write_run("base", MODELS, calibration_ms=4.0)
    write_run("head-0", MODELS, calibration_ms=4.0)
    write_run("head-1", MODELS)
    frame = vigbench.compare(base, str(tmp_path / "head-*"))
    assert "calibrated" not in set(frame["note"])
    assert list(frame["verdict"]) == ["SAME", "SAME"]


def test_a_run_counts_once_however_it_is_spelt(write_run: WriteRun) -> None:
    base, head = write_run("base", MODELS), write_run("head", MODELS, processes=2)
    thrice = [head, head / ".." / "head", str(head)]
    assert vigbench.compare(base, thrice).equals(vigbench.compare(base, head))


def test_a_frame_of_several_runs_is_refused(write_run: WriteRun) -> None:
    base = write_run("base", MODELS)
    with pytest.raises(ValueError, match="more than once"):
        vigbench.compare(base, vigbench.load_results([base, write_run("head", MODELS)]))


def test_calibration_takes_out_the_speed_of_the_machine(write_run: WriteRun) -> None:
    slow_machine = {name: 1.5 * level for name, level in MODELS.items()}
    base = write_run("base", MODELS, calibration_ms=4.0)
    head = write_run("head", slow_machine, calibration_ms=6.0, marks=("contended",))
    frame = vigbench.compare(base, head)
    assert list(frame["verdict"]) == ["SAME", "SAME"]
    assert set(frame["note"]) == {"calibrated"}


@pytest.mark.parametrize("mark", ["contended", "throttled"])
def test_a_disturbed_case_decides_nothing(write_run: WriteRun, mark: str) -> None:
    base, head = write_run("base", MODELS), write_run("head", {"resnet18": 99.0, "resnet50": 99.0}, marks=(mark,))
    frame = vigbench.compare(base, head)
    assert set(frame["verdict"]) == {"INCONCLUSIVE"}
    assert frame["note"].str.contains("disturbed|slowed").all()


def test_a_case_that_is_no_longer_ok_is_a_regression_without_a_verdict(write_run: WriteRun) -> None:
    base, head = write_run("base", MODELS), write_run("head", MODELS, status="wrong_result")
    frame = vigbench.compare(base, head)
    assert set(frame["verdict"]) == {"INCONCLUSIVE"}
    assert frame["regression"].all()
    assert set(frame["note"]) == {"ok in base, wrong_result in head"}
    assert not vigbench.compare(head, base)["regression"].any(), "mended is not worse"


def test_a_case_on_one_side_only_is_kept_and_told(write_run: WriteRun) -> None:
    frame = vigbench.compare(write_run("base", MODELS), write_run("head", {"resnet18": 10.0}))
    assert list(frame["note"]) == ["", "only in base"]
    assert frame["ratio"].isna().tolist() == [False, True]


def test_different_fingerprints_are_refused_by_name(write_run: WriteRun) -> None:
    other = {**describe_environment("cpu", 1), "torch": "1.0"}
    base, head = write_run("base", MODELS), write_run("head", MODELS, environment=other, device_name="another CPU")
    with pytest.raises(ValueError, match=r"device_name: a CPU against another CPU; torch: .* against 1.0") as error:
        vigbench.compare(base, head)
    assert "--across device_name,torch" in str(error.value)
    with pytest.raises(ValueError, match="torch"):
        vigbench.compare(base, head, across=["device_name"])
    assert len(vigbench.compare(base, head, across=["device_name", "torch"])) == 2
    with pytest.raises(ValueError, match="device_name"):
        vigbench.compare(vigbench.load_results(base), vigbench.load_results(head))
    with pytest.raises(ValueError, match="did you mean 'torch'"):
        vigbench.compare(base, head, across=["torh"])


def test_wrong_input_is_refused_in_words(write_run: WriteRun, tmp_path: Path) -> None:
    base = write_run("base", MODELS)
    for arguments, message in [
        ((base, tmp_path / "nowhere"), "is not a run"),
        ((base, base, "latency"), "did you mean 'latency_ms'"),
        ((base, pd.DataFrame({"subject": ["x"]})), "The frame lacks implementation"),
        ((base, write_run("other", {"vgg11": 1.0})), "no case in common"),
    ]:
        one, two, *metric = arguments
        with pytest.raises(ValueError, match=re.escape(message)):
            vigbench.compare(one, two, **({"metric": metric[0]} if metric else {}))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="margin"):
        vigbench.compare(base, base, margin=3)
    frame = vigbench.compare(base, base, metric="kernel_ms")
    assert set(frame["note"]) == {"kernel_ms was not measured"}


KERNEL = {"kernel_ms": 5.0, "kernel_low_ms": 4.9, "kernel_high_ms": 5.1}


@pytest.mark.parametrize(
    ("base", "head", "compared"),
    [
        ({"kernel_time_source": "events"}, {"kernel_time_source": "events"}, True),
        ({"kernel_time_source": "profile"}, {"kernel_time_source": "profile"}, True),
        ({"kernel_time_source": "events"}, {"kernel_time_source": "profile"}, False),
        ({"kernel_time_source": "profile_warm"}, {"kernel_time_source": "profile"}, False),
        ({}, {"kernel_time_source": "events"}, True),  # as all were once
        ({"marks": "launch_exposed"}, {"kernel_time_source": "events"}, False),
        ({"marks": "launch_exposed"}, {"kernel_time_source": "events_exposed"}, True),
    ],
)
def test_kernel_times_of_two_kinds_do_not_compare(
    base: dict[str, str], head: dict[str, str], compared: bool, write_run: WriteRun
) -> None:
    frame = vigbench.load_results(write_run("base", MODELS))
    one, two = (frame.assign(**KERNEL, **more) for more in (base, head))
    found = vigbench.compare(one, two, metric="kernel_ms")
    assert found["ratio"].notna().all() == compared
    assert found["note"].str.contains("two kinds of time").all() != compared


@pytest.mark.parametrize("column", ["waiting", "allocation"])
@pytest.mark.parametrize(
    ("base", "head", "compared"), [("a=1", "a=1", True), ("a=1", "a=2", False), (None, "a=1", True)]
)
def test_processes_that_were_set_unlike_do_not_compare(
    column: str, base: str | None, head: str, compared: bool, write_run: WriteRun
) -> None:
    frame = vigbench.load_results(write_run("base", MODELS))
    one, two = (frame.assign(**{column: value}) for value in (base, head))
    found = vigbench.compare(one, two)
    assert found["ratio"].notna().all() == compared
    assert found["note"].str.contains("a=1 in base and by a=2 in head").all() != compared


def test_pooled_runs_of_two_kinds_have_no_kernel_time() -> None:
    row = {"status": "ok", "marks": "", "device": "cuda", "batch_size": 1, **KERNEL}
    events, profile = (
        Measurement({**row, "kernel_time_source": source}, {"kernel_ms": [[5.0]], "latency_ms": [[9.0]]})
        for source in ("events", "profile")
    )
    assert events.pooled(events).value("kernel_ms") == pytest.approx(5.0)
    mixed = events.pooled(profile)
    assert mixed.value("kernel_ms") is None
    assert mixed.kernel_time_source is None
    assert mixed.value("latency_ms") == pytest.approx(9.0)


def test_a_curve_that_falls_where_it_must_rise_decides_nothing() -> None:
    def side(*latencies: float) -> Any:
        return growing.frame(
            growing.record("deit", px, one) for px, one in zip((224, 384, 512), latencies, strict=True)
        )

    found = vigbench.compare(side(10, 20, 40), side(10, 90, 40))
    assert list(found["note"]) == ["no raw samples", *["no raw samples; its curve falls where it must rise"] * 2]
    assert found["verdict"][1] == "INCONCLUSIVE"
    assert not found["regression"][1]
