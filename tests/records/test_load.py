import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pandas as pd
import pytest

import vigbench
from vigbench.records.kernel_time import KernelTimeSource
from vigbench.records.load import RUN_COLUMNS
from vigbench.records.metrics import Metrics
from vigbench.records.schema import Record, columns
from vigbench.records.store import RunStore
from vigbench.suites.case import Case

INFO = {"suite": "smoke", "protocol": 1, "device_name": "a CPU", "environment": {"torch": "2.11"}}
MakeRecord = Callable[..., Record]


@pytest.fixture
def runs(tmp_path: Path, make_record: MakeRecord) -> Path:
    for name, resolutions in {"a": [64, 128], "b[1]": [64], "empty": []}.items():
        store = RunStore.create(tmp_path / name, INFO)
        for resolution in resolutions:
            store.append(make_record(resolution), [])
    (tmp_path / "not-a-run").mkdir()
    (tmp_path / "README.md").write_text("no run either")
    return tmp_path


def test_many_runs_make_one_tidy_frame(runs: Path) -> None:
    frame = vigbench.load_results(str(runs / "*"))
    assert list(frame.columns) == [*RUN_COLUMNS, *columns()]
    assert RUN_COLUMNS == ("run", "suite", "protocol", "device_name", "torch_version", "fingerprint")
    assert list(frame["run"]) == ["a", "a", "b[1]"]
    assert list(frame["latency_ms"]) == [6.4, 12.8, 6.4]
    assert frame["throughput_per_s"].isna().all(), "what was not measured is missing, not zero"


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Without dtypes, and with one way to be missing."""
    return frame.astype(object).where(frame.notna(), None)


def test_the_frame_holds_the_rows_of_the_records(runs: Path, make_record: MakeRecord) -> None:
    store = RunStore.open(runs / "a")
    store.append(make_record(256, status="pruned", marks=("a", "b")), [])
    store.append(make_record(512, metrics=Metrics(params=3, kernel_time_source=KernelTimeSource.profile)), [])
    store.append(make_record(256, metrics=Metrics(gmacs=2.0)), [])
    expected = pd.DataFrame([record.row() for record in store.records()], columns=list(columns()))
    frame = vigbench.load_results(store.folder)[list(columns())]
    assert list(frame["resolution"]) == [64, 128, 256, 512], "a case recorded again keeps its place"
    pd.testing.assert_frame_equal(plain(frame), plain(expected))
    numbers = [name for name, field in Metrics.model_fields.items() if {int, float} & set(get_args(field.annotation))]
    assert all(pd.api.types.is_numeric_dtype(frame[name]) for name in numbers), "even where nothing was measured"
    assert {type(status) for status in frame["status"]} == {str}
    assert list(frame["kernel_time_source"].dropna().map(type)) == [str]


def test_runs_under_equal_conditions_share_their_fingerprint(runs: Path) -> None:
    RunStore.open(runs / "b[1]").write_info({**INFO, "environment": {"torch": "2.12"}})
    of_run = vigbench.load_results(runs / "*").groupby("run")["fingerprint"].unique()
    assert [len(values) for values in of_run] == [1, 1]
    assert of_run["a"][0] != of_run["b[1]"][0]


def test_a_run_is_read_once_however_often_it_is_named(runs: Path) -> None:
    assert len(vigbench.load_results([runs / "a", str(runs / "a*"), runs / "a"])) == 2


def test_a_folder_may_hold_glob_characters(runs: Path) -> None:
    assert list(vigbench.load_results(runs / "b[1]")["run"]) == ["b[1]"]


def test_an_empty_run_is_an_empty_frame_with_all_columns(runs: Path) -> None:
    frame = vigbench.load_results(runs / "empty")
    assert len(frame) == 0
    assert list(frame.columns) == [*RUN_COLUMNS, *columns()]


def test_nothing_to_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="No run matches"):
        vigbench.load_results(str(tmp_path / "*"))


def test_a_run_that_does_not_say_what_it_is_is_damaged(runs: Path) -> None:
    (runs / "a" / "run.json").write_text('{"suite": "smoke", "protocol": 1}')
    with pytest.raises(ValueError, match="device_name"):
        vigbench.load_results(runs / "a")


def edit(content: dict[str, Any], path: str, value: object) -> None:
    *parents, last = path.split(".")
    for key in parents:
        content = content[key]
    if value is ...:
        del content[last]
    else:
        content[last] = value


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("status", "splendid"),
        ("status", ...),
        ("case", ...),
        ("case_id", ...),
        ("case.subject", ...),
        ("case.resolution", "sixty-four"),
        ("case.resolution", 0),
        ("case.batch_size", 1.5),
        ("case.precision", "float8"),
        ("case.compile", 1),
        ("case.later_setting", 1),
        ("metrics.later_metric_ms", 1.0),
        ("metrics.latency_ms", "12"),
        ("metrics.samples", 1.5),
        ("marks", "contended"),
        ("later", None),
    ],
)
def test_a_record_of_another_version_or_type_is_an_error_that_names_its_line(
    runs: Path, path: str, value: object
) -> None:
    journal = runs / "a" / "journal.jsonl"
    first, second = journal.read_text().splitlines()
    content = json.loads(second)
    edit(content, path, value)
    journal.write_text(f"{first}\n{json.dumps(content)}\n{first}\n")
    with pytest.raises(ValueError, match=r"journal\.jsonl, line 2: .*" + path.rpartition(".")[2]):
        vigbench.load_results(runs / "a")


def test_columns_and_settings_that_came_later_are_empty_or_at_their_default(runs: Path) -> None:
    journal = runs / "a" / "journal.jsonl"
    contents = [json.loads(line) for line in journal.read_text().splitlines()]
    for path in ("metrics.latency_ms", "metrics.samples", "case.cuda_graph", "operator", "marks"):
        edit(contents[1], path, ...)
    journal.write_text("".join(f"{json.dumps(content)}\n" for content in contents))
    frame = vigbench.load_results(runs / "a")
    assert list(frame["latency_ms"].isna()) == list(frame["samples"].isna()) == [False, True]
    assert list(frame["cuda_graph"]) == [False, False]
    assert list(frame["marks"]) == ["", ""]


@pytest.mark.parametrize(
    ("run", "unit"), [("resolution-scaling-cpu-20261121", "image"), ("kernels-gla-cpu-20261121", "sequence")]
)
def test_records_of_before_throughput_had_a_unit_still_load(tmp_path: Path, run: str, unit: str) -> None:
    committed = Path(__file__).parents[2] / "results" / run / "journal.jsonl"
    lines = committed.read_text().splitlines(keepends=True)[:3]
    old = [json.loads(line)["metrics"] for line in lines]
    assert all("throughput_img_per_s" in one for one in old), "as it was written then"
    store = RunStore.create(tmp_path / "run", INFO)
    store.journal.write_text("".join(lines))
    frame = vigbench.load_results(store.folder)
    assert set(frame["unit"]) == {unit}
    for name in ("throughput_per_s", "throughput_low_per_s", "throughput_high_per_s"):
        assert list(frame[name]) == [one[name.replace("per_s", "img_per_s")] for one in old]
    store.amend(store.records()[0])
    last = json.loads(store.journal.read_text().splitlines()[-1])
    assert last["metrics"]["throughput_per_s"] == old[0]["throughput_img_per_s"], "written by today's name"
    assert "throughput_img_per_s" not in last["metrics"]
    assert last["unit"] == unit
    pd.testing.assert_frame_equal(vigbench.load_results(store.folder), frame)


def test_sizes_that_are_texts_stay_so_beside_cases_that_were_not_checked(runs: Path, make_record: MakeRecord) -> None:
    store = RunStore.open(runs / "a")
    store.append(make_record("64x96", metrics=Metrics(gate_resolution="64x96")), [])
    frame = vigbench.load_results(runs / "a")
    assert list(frame["resolution"]) == [64, 128, "64x96"]
    assert list(frame["gate_resolution"].dropna()) == ["64x96"]
    assert list(frame["gate_resolution"].isna()) == [True, True, False]


@pytest.mark.parametrize("line", [b"", b"null", b'{"case_id": "a', b"\xff\xfe"])
def test_a_damaged_line_is_named_and_a_torn_last_one_passed_over(runs: Path, line: bytes) -> None:
    journal = runs / "a" / "journal.jsonl"
    content = journal.read_bytes()
    journal.write_bytes(content + line)
    assert len(vigbench.load_results(runs / "a")) == 2
    journal.write_bytes(content + line + b"\n" + content)
    with pytest.raises(ValueError, match=r"journal\.jsonl, line 3"):
        vigbench.load_results(runs / "a")


def test_what_only_models_or_only_operators_have_is_missing_in_the_other(tmp_path: Path) -> None:
    cases = [
        Case(subject="resnet50", resolution=64),
        Case(subject="gla", length=196, heads=3, key_dim=32, value_dim=64),
    ]
    for name, kept in (("model", cases[:1]), ("both", cases)):
        store = RunStore.create(tmp_path / name, INFO)
        for case in kept:
            started_at = "2026-01-01T00:00:00+00:00"
            record = Record(case_id=case.case_id, case=case, family="cnn", status="ok", started_at=started_at)
            store.append(record, [])
    model = vigbench.load_results(tmp_path / "model")
    assert (model["resolution"].dtype, model["length"].dtype) == ("int64", "float64")
    frame = vigbench.load_results([tmp_path / "model", tmp_path / "both"])
    assert frame["resolution"].tolist()[:2] == [64, 64]
    assert frame["length"].isna().tolist() == [True, True, False]
    rows = [{name: row[name] for name in Case.model_fields} for row in frame.to_dict("records")]
    assert [Case.model_validate(row) for row in rows] == [cases[0], *cases]
