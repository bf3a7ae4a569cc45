"""The page's data hold every case as it was recorded, whatever its name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vigbench.analysis.compare import compare
from vigbench.records.schema import Status
from vigbench.report.findings import Versus, find
from vigbench.report.page.payload import as_json, payload
from vigbench.report.page.tables import case_tables
from vigbench.report.rows import read_cases
from vigbench.report.sentences.words import put_into_words

HOSTILE = ["</script><script>alert(1)</script>", "<!--<script>", "]]>", "\u2028", '"\\', "%", "'; rm -rf /'"]


def loaded(frame: Any, infos: Any = ({},), versus: Versus | None = None) -> dict[str, Any]:
    findings = find(frame, infos, versus)
    layout = case_tables(findings.cases.rows).layout
    return dict(json.loads(as_json(payload(findings, put_into_words(findings), layout))))


@given(name=st.sampled_from(HOSTILE) | st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
@settings(max_examples=60)
def test_no_text_can_end_the_element_and_every_text_comes_back(name: str) -> None:
    text = as_json({"name": name})
    assert "<" not in text
    assert json.loads(text) == {"name": name}


def test_every_case_is_there_with_its_setting_values_and_command(make_sweep: Any, make_frame: Any) -> None:
    frame = make_frame([*make_sweep(), *make_sweep((224, 384), precision="bfloat16", batch_size=8, threads=2)])
    rows, data = read_cases(frame).rows, loaded(frame)
    assert len(data["cases"]) == len(rows)
    at = {metric["id"]: index for index, metric in enumerate(data["metrics"])}
    for row, (name, setting, size, status, marks, *values) in zip(rows, data["cases"], strict=True):
        assert data["names"][name]["family"] == row["family"]
        assert data["settings"][setting]["text"] == row["setting"].text()
        assert (size, data["statuses"][status], data["marks"][marks]) == (row["extent"], row["status"], "")
        latency = values[at["latency_ms"]]
        if row["latency_ms"] is None:
            assert latency is None
        else:
            assert latency == pytest.approx(
                [row["latency_ms"], row["latency_low_ms"], row["latency_high_ms"]], rel=1e-5
            )
        command = f"{data['names'][name]['command']} {data['settings'][setting]['command']}"
        assert f"--subject {row['subject']}" in command
        assert f"--precision {row['precision']}" in command
        assert data["settings"][setting]["size_option"] == "--resolution"


def test_a_title_for_each_metric_and_setting(make_sweep: Any, make_frame: Any) -> None:
    data = loaded(make_frame([*make_sweep(), *make_sweep((224, 384), batch_size=8)]))
    overall, *each = data["titles"]["latency_ms"]
    assert overall.startswith("At 1024 px (batch 1) ViG-T")
    assert [title.split(" ViG-T")[0] for title in each] == ["At 1024 px", "At 384 px"]


def test_base_stands_behind_the_same_setting_of_head(make_sweep: Any, make_frame: Any) -> None:
    import pandas as pd

    base = make_frame([*make_sweep((224, 384)), *make_sweep((224, 384), batch_size=8)]).assign(run="base")
    head = make_frame([*make_sweep((224, 384)), *make_sweep((224, 384), batch_size=4)]).assign(run="head")
    versus = Versus("base", "head", compare(base, head), 0.03)
    data = loaded(pd.concat([base, head], ignore_index=True), ({"run": "base"}, {"run": "head"}), versus)
    texts = [setting["text"] for setting in data["settings"]]
    behind = {setting["text"]: setting["behind"] for setting in data["settings"]}
    assert behind["float32, batch 1, inference, head"] == texts.index("float32, batch 1, inference, base")
    assert [behind[text] for text in texts if "batch 1," not in text or "base" in text] == [None] * 3


def test_the_table_s_first_page_and_the_data_agree_on_columns(make_record: Any, make_frame: Any) -> None:
    records = [make_record("resnet50", "cnn", 224, threads=threads, tf32=threads == 2, marks=("unsteady",))
               for threads in (1, 2)]  # fmt: skip
    records.append(make_record("resnet50", "cnn", 384, status=Status.timeout, reason="slow"))
    data = loaded(make_frame(records))
    assert data["marked"]
    assert data["sizes"] == ["resolution"]
    assert {tuple(setting["cells"]) for setting in data["settings"]} == {
        (1, "float32", "no", 1),
        (1, "float32", "yes", 2),
        (1, "float32", "no", 0),
    }


def test_a_metric_names_the_cases_whose_value_carries_no_conclusion(make_sweep: Any, make_frame: Any) -> None:
    frame = make_frame(make_sweep())
    assert all("left_out" not in metric for metric in loaded(frame)["metrics"])
    frame["marks"] = ["contended"] * 3 + [""] * (len(frame) - 3)
    found = {metric["id"]: metric.get("left_out") for metric in loaded(frame)["metrics"]}
    assert found["latency_ms"] == found["throughput_per_s"] == [0, 1, 2]
    assert found["peak_memory_mib"] is found["gmacs"] is None
