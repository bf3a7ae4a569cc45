"""The page's data hold every case as it was recorded, whatever its name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vigbench.records.schema import Status
from vigbench.report.curves import panels
from vigbench.report.metrics import PLOTTED
from vigbench.report.page.payload import as_json, payload
from vigbench.report.page.repeat import repeat_command
from vigbench.report.rows import setting_of, to_rows

HOSTILE = ["</script><script>alert(1)</script>", "<!--<script>", "]]>", "\u2028", '"\\', "%", "'; rm -rf /'"]


def loaded(frame: Any, infos: Any = ({},), base: str = "") -> dict[str, Any]:
    rows = to_rows(frame)
    found = {metric.column: panels(rows, metric) for metric in PLOTTED}
    return dict(json.loads(as_json(payload(rows, list(infos), found, base))))


@given(name=st.sampled_from(HOSTILE) | st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
@settings(max_examples=60)
def test_no_text_can_end_the_element_and_every_text_comes_back(name: str) -> None:
    text = as_json({"name": name})
    assert "<" not in text
    assert json.loads(text) == {"name": name}


def test_every_case_is_there_with_its_setting_values_and_command(make_sweep: Any, make_frame: Any) -> None:
    frame = make_frame([*make_sweep(), *make_sweep((224, 384), precision="bfloat16", batch_size=8, threads=2)])
    rows, data = to_rows(frame), loaded(frame)
    assert len(data["cases"]) == len(rows)
    at = {metric["id"]: index for index, metric in enumerate(data["metrics"])}
    for row, (name, setting, size, status, marks, *values) in zip(rows, data["cases"], strict=True):
        assert data["names"][name]["family"] == row["family"]
        assert data["settings"][setting]["text"] == setting_of(row).text()
        assert (size, data["statuses"][status], data["marks"][marks]) == (row["extent"], row["status"], "")
        latency = values[at["latency_ms"]]
        if row["latency_ms"] is None:
            assert latency is None
        else:
            assert latency == pytest.approx(
                [row["latency_ms"], row["latency_low_ms"], row["latency_high_ms"]], rel=1e-5
            )
        parts = [data["names"][name]["command"], f"--resolution {size}", data["settings"][setting]["command"]]
        assert " ".join(["vigbench run", *parts]) == repeat_command(row)


def test_a_title_for_each_metric_and_setting(make_sweep: Any, make_frame: Any) -> None:
    data = loaded(make_frame([*make_sweep(), *make_sweep((224, 384), batch_size=8)]))
    overall, *each = data["titles"]["latency_ms"]
    assert overall.startswith("At 1024 px (batch 1) ViG-T")
    assert [title.split(" ViG-T")[0] for title in each] == ["At 1024 px", "At 384 px"]


def test_base_stands_behind_the_same_setting_of_head(make_sweep: Any, make_frame: Any) -> None:
    import pandas as pd

    base = make_frame([*make_sweep((224, 384)), *make_sweep((224, 384), batch_size=8)]).assign(run="base")
    head = make_frame([*make_sweep((224, 384)), *make_sweep((224, 384), batch_size=4)]).assign(run="head")
    data = loaded(pd.concat([base, head]), ({"run": "base"}, {"run": "head"}), "base")
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
