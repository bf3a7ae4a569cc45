"""Several runs on one page: side by side, or one against a base."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from vigbench.analysis.compare import compare
from vigbench.report import Versus, write_page
from vigbench.report.rows import brief_texts, read_cases
from vigbench.report.sentences.runs import source, states, when
from vigbench.report.sentences.versus import changed_lines, versus_headline, versus_rows

pytestmark = pytest.mark.slow


def text_of(path: Path) -> str:
    text = re.sub(r"<style>.*?</style>|<script.*?</script>|<[^>]*>", " ", path.read_text("utf-8"), flags=re.DOTALL)
    return " ".join(text.split())


@pytest.fixture
def infos(run_info: dict[str, Any]) -> list[dict[str, Any]]:
    return [{**run_info, "run": "one"}, {**run_info, "run": "two", "device_name": "Big CPU", "planned_cases": 99}]


def two(make_sweep: Any, make_frame: Any, device: str = "Big CPU") -> pd.DataFrame:
    frame = make_frame(make_sweep((224, 384, 512)))
    return pd.concat([frame.assign(run="one"), frame.assign(run="two", device_name=device)], ignore_index=True)


def test_devices_stand_side_by_side_each_with_its_name_and_environment(
    make_sweep: Any, make_frame: Any, infos: list[dict[str, Any]], tmp_path: Path
) -> None:
    path = write_page(two(make_sweep, make_frame), infos, tmp_path)
    text = text_of(path)
    assert "Demo CPU (2 threads) · run one; Big CPU · run two" in text
    assert "Fastest Big CPU: DeiT-T (sdpa)" in text
    assert "Run two ended early: 21 of 99 planned cases are recorded." in text
    assert "Run one ended early: 21 of 35 planned cases are recorded." in text
    assert "Several devices" in text
    assert text.count("Repeat the run with:") == 2
    (block,) = re.findall(r'id="data">(.*?)</script>', path.read_text("utf-8"), flags=re.DOTALL)
    settings = [setting["text"] for setting in json.loads(block)["settings"]]
    assert sorted(settings) == [
        "float32, batch 1, inference, Big CPU",
        "float32, batch 1, inference, Demo CPU (2 threads)",
    ]


def test_runs_of_one_device_are_told_apart_by_their_names(make_sweep: Any, make_frame: Any) -> None:
    cases = read_cases(two(make_sweep, make_frame, device="Demo CPU (2 threads)"))
    assert set(brief_texts(list(cases.groups)).values()) == {"one", "two"}


def test_words_for_several_runs(infos: list[dict[str, Any]]) -> None:
    assert source(infos[:1]) == "Demo CPU (2 threads) · run one"
    same = [infos[0], {**infos[1], "device_name": infos[0]["device_name"]}]
    assert source(same) == "Demo CPU (2 threads) · runs one, two"
    assert when(infos) == "2026-01-01 10:00 UTC"
    later = {**infos[1], "started_at": "2026-01-03T09:30:00Z"}
    assert when([later, infos[0]]) == "2026-01-01 10:00 to 2026-01-03 09:30 UTC"
    assert states({}, [{"run": "x"}]) == ["This run is not finished: 0 cases are recorded so far."]


@pytest.fixture
def versus(make_record: Any, make_frame: Any) -> Versus:
    """ViG is twice as fast as before, ResNet-50 slower, DeiT is lost, ConvNeXt the same."""

    def side(run: str, vig: float, resnet: float, deit: str) -> pd.DataFrame:
        records = [
            make_record("vig_tiny_patch16_224", "vig", 224, latency=vig, interval=0.001),
            make_record("resnet50", "cnn", 224, latency=resnet, interval=0.001),
            make_record("convnext_tiny", "cnn", 224, latency=5.0, interval=0.001, device="cuda"),
            make_record("deit_tiny_patch16_224", "deit", 224, status=deit, reason="why"),
        ]
        return make_frame(records).assign(run=run)

    base, head = side("base", 20.0, 10.0, "ok"), side("head", 10.0, 15.0, "error")
    return Versus("base", "head", compare(base, head), 0.03)


def test_the_verdicts_come_first_and_what_is_worse_before_the_rest(versus: Versus) -> None:
    assert versus_headline(versus) == (
        "head against base: of 4 cases 1 slower, 1 faster, 1 the same, 1 inconclusive, 1 no longer ok"
    )
    rows = versus_rows(versus)
    assert [row.worse for row in rows] == [True, True, False, False]
    assert [row.verdict for row in rows] == ["slower", "inconclusive", "faster", "same"]
    assert [row.case.split()[0] for row in rows] == [
        "resnet50", "deit_tiny_patch16_224", "vig_tiny_patch16_224", "convnext_tiny",
    ]  # fmt: skip
    assert (rows[2].base, rows[2].head, rows[2].ratio) == ("20", "10", "0.500")
    assert rows[1].head == "error"
    (line,) = changed_lines(versus)
    assert "faster, ratio 0.500" in line.answers[2]
    assert "ok in base, error in head" in line.answers[1]


def test_the_page_of_a_comparison_answers_for_head(
    versus: Versus, make_sweep: Any, make_frame: Any, infos: list[dict[str, Any]], tmp_path: Path
) -> None:
    slow = make_frame(make_sweep((224, 512))).assign(run="base")
    head = make_frame([one for one in make_sweep((224, 512)) if one.case.subject != "resnet50"]).assign(run="head")
    frame = pd.concat([slow, head], ignore_index=True)
    pair = [{**infos[0], "run": "base"}, {**infos[0], "run": "head"}]
    path = write_page(frame, pair, tmp_path, versus=versus)
    text = text_of(path)
    assert versus_headline(versus) in text
    assert "cases succeeded 12 of 12" in text
    assert text.index("head against base, case by case") < text.index("How to read this")
    page = path.read_text("utf-8")
    assert page.index('id="versus"') < page.index("<figure")
    (block,) = re.findall(r'id="data">(.*?)</script>', page, flags=re.DOTALL)
    behind = {setting["text"]: setting["behind"] for setting in json.loads(block)["settings"]}
    assert behind == {"float32, batch 1, inference, head": 0, "float32, batch 1, inference, base": None}
