"""The page holds everything, says what is missing and loads nothing."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from vigbench.records.schema import Status
from vigbench.report import write_page
from vigbench.report.page.render import LIBRARIES, asset, joined

HOSTILE = ["<script>alert(1)</script>", '"><img src=x onerror=alert(2)>', "{{ 7 * 7 }}", "$x^2$"]


class Reader(HTMLParser):
    """Tags, attributes, ids and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.inside = ""
        self.feed(text)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside = tag

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        self.text += "" if self.inside in ("script", "style") else data

    def all(self, attribute: str) -> list[str]:
        return [value for _, attributes in self.tags if (value := attributes.get(attribute)) is not None]


def test_images_that_are_not_square_were_checked_at_such_a_size(
    make_record: Any, make_frame: Any, tmp_path: Path
) -> None:
    record = make_record("resnet50", "cnn", "224x320")
    checked = record.metrics.model_copy(update={"gate_resolution": "96x160", "output_error": 1e-7})
    frame = make_frame([record.model_copy(update={"metrics": checked})])
    assert "224x320" in Reader(write_page(frame, {"run": "r"}, tmp_path).read_text("utf-8")).text


def test_the_page_and_its_figures(make_sweep: Any, make_frame: Any, run_info: dict[str, Any], tmp_path: Path) -> None:
    path = write_page(make_frame(make_sweep()), run_info, tmp_path)
    assert path == tmp_path / "report.html"
    names = ["activation_memory_mib", "gmacs", "latency_ms", "peak_memory_mib", "throughput_per_s"]
    endings = ("pdf", "png", "svg")
    files = sorted(file.name for file in (tmp_path / "figures").iterdir())
    assert files == [f"{name}.{ending}" for name in names for ending in endings]
    page = Reader(path.read_text(encoding="utf-8"))
    for part in (
        "At 1024 px ViG-T is 2.7x faster than DeiT-T (sdpa)",
        run_info["question"],
        "Demo CPU (2 threads) · run demo-cpu-20260101 · float32, batch 1, inference · protocol 1 · 2026-01-01 10:00",
        "34 of 35",
        "needs 5.1 GiB, 4.0 GiB are free: use a smaller batch",
        "How to read this",
        "torch.threads",
        "vigbench run resolution-scaling --device cpu",
    ):
        assert part in page.text
    assert "not finished" not in page.text
    alternatives = [value for tag, a in page.tags if a.get("role") == "img" and (value := a.get("aria-label"))]
    assert len(alternatives) == len(names)
    assert "ViG-T 14.0 at 224 px to 293 at 1024 px" in alternatives[0]
    assert "DeiT-T (eager) 12.0 at 224 px to 520 at 768 px, then out of memory" in alternatives[0]


def test_the_page_loads_nothing(make_sweep: Any, make_frame: Any, run_info: dict[str, Any], tmp_path: Path) -> None:
    text = write_page(make_frame(make_sweep()), run_info, tmp_path).read_text(encoding="utf-8")
    page = Reader(text)
    links = [*page.all("src"), *page.all("href"), *page.all("xlink:href"), *page.all("srcset")]
    assert links
    assert all(link.startswith(("#", "data:")) for link in links)
    libraries = [asset(name, "vendor") for name in LIBRARIES]
    without = functools.reduce(lambda rest, library: rest.replace(library, ""), libraries, text)
    assert len(without) == len(text) - sum(map(len, libraries)), "each library is there once, as it came"
    assert "://" not in without
    assert "@import" not in without
    assert set(re.findall(r"url\(([^)]{0,40})\)", without)) <= {f"#{name}" for name in page.all("id")}
    (policy,) = [value for value in page.all("content") if "default-src" in value]
    scripts = re.findall(r"<script>(.*?)</script>", text, flags=re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    assert "default-src 'none'" in policy
    assert "script-src " + " ".join(f"'sha256-{digest}'" for digest in digests) in policy
    assert "eval" not in policy


def test_ids_are_unique_and_every_reference_leads_to_one(
    make_sweep: Any, make_frame: Any, run_info: dict[str, Any], tmp_path: Path
) -> None:
    page = Reader(write_page(make_frame(make_sweep()), run_info, tmp_path).read_text(encoding="utf-8"))
    ids = page.all("id")
    assert len(ids) == len(set(ids))
    references = {link[1:] for link in page.all("xlink:href")} | set(page.all("aria-labelledby"))
    assert references
    assert references <= set(ids)


def test_every_failure_is_there_with_its_reason(
    make_record: Any, make_frame: Any, run_info: dict[str, Any], tmp_path: Path
) -> None:
    failing = [status for status in Status if status is not Status.ok]
    records = [make_record("resnet50", "cnn", 224)] + [
        make_record("resnet50", "cnn", 256 + 32 * i, status=status, reason=f"reason {i}: do this")
        for i, status in enumerate(failing)
    ]
    text = Reader(write_page(make_frame(records), run_info, tmp_path).read_text(encoding="utf-8")).text
    failures = text[text.index("Cases without a result") : text.index("How to read this")]
    for i, status in enumerate(failing):
        setting = f"{256 + 32 * i} px, float32, batch 1, inference"
        assert re.search(rf"{setting}\s*{status.value.replace('_', ' ')}\s*reason {i}: do this", failures)


@pytest.mark.slow
def test_an_incomplete_run_says_so(make_sweep: Any, make_frame: Any, run_info: dict[str, Any], tmp_path: Path) -> None:
    running = {**run_info, "finished_at": None, "planned_cases": 40}
    text = write_page(make_frame(make_sweep()), running, tmp_path).read_text(encoding="utf-8")
    assert "This run is not finished: 35 of 40 planned cases are recorded so far." in text
    ended = {**run_info, "planned_cases": 40}
    text = write_page(make_frame(make_sweep()), ended, tmp_path).read_text(encoding="utf-8")
    assert "This run ended early: 35 of 40 planned cases are recorded." in text


def test_an_empty_run_removes_the_pictures_of_an_earlier_report(
    make_sweep: Any, make_frame: Any, run_info: dict[str, Any], tmp_path: Path
) -> None:
    write_page(make_frame(make_sweep((224,))), run_info, tmp_path)
    path = write_page(make_frame([]), {**run_info, "finished_at": None}, tmp_path)
    text = Reader(path.read_text(encoding="utf-8")).text
    assert "No case of this run has ended yet" in text
    assert "0 of 35 planned cases" in text
    assert list((tmp_path / "figures").iterdir()) == []


def test_a_run_in_which_everything_failed(
    make_record: Any, make_frame: Any, run_info: dict[str, Any], tmp_path: Path
) -> None:
    records = [
        make_record("resnet50", "cnn", px, status=Status.error, reason="no kernel", gmacs=None) for px in (224, 384)
    ]
    page = Reader(write_page(make_frame(records), run_info, tmp_path).read_text(encoding="utf-8"))
    assert "None of 2 cases gave a number: 2 error" in page.text
    assert page.text.count("no kernel") == 2
    assert "svg" not in {tag for tag, _ in page.tags}


def test_the_smallest_run_info_is_enough(make_sweep: Any, make_frame: Any, tmp_path: Path) -> None:
    text = write_page(make_frame(make_sweep((224,))), {"run": "only-a-name"}, tmp_path).read_text(encoding="utf-8")
    assert "run only-a-name" in text


def test_hostile_names_stay_text(make_record: Any, make_frame: Any, run_info: dict[str, Any], tmp_path: Path) -> None:
    records = [make_record(name, "other", px, latency=float(px)) for name in HOSTILE for px in (224, 384)]
    records += [make_record(name, "other", 512, status=Status.crashed, reason=name) for name in HOSTILE]
    bad = HOSTILE[1]
    info = {**run_info, "run": bad, "suite": bad, "question": bad, "note": bad, "device_name": bad, "started_at": bad}
    info |= {"command_line": ["vigbench", bad], "environment": {bad: {bad: bad}}, "protocol": bad}
    page = Reader(write_page(make_frame(records), info, tmp_path).read_text(encoding="utf-8"))
    assert [tag for tag, _ in page.tags].count("script") == 1 + len(LIBRARIES) + 1
    assert "img" not in {tag for tag, _ in page.tags}
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    for name in HOSTILE:
        assert name in page.text


@pytest.mark.slow
def test_the_same_input_gives_the_same_page(
    make_sweep: Any, make_frame: Any, run_info: dict[str, Any], tmp_path: Path
) -> None:
    frame = make_frame([*make_sweep(), *make_sweep((224, 384), precision="bfloat16")])
    first = write_page(frame, run_info, tmp_path / "a").read_bytes()
    assert write_page(frame, run_info, tmp_path / "b").read_bytes() == first


@pytest.mark.slow
def test_a_frame_read_back_from_csv_gives_the_same_page(
    make_sweep: Any, make_frame: Any, run_info: dict[str, Any], tmp_path: Path
) -> None:
    import pandas as pd

    frame = make_frame(make_sweep((224, 1024)))
    frame.to_csv(tmp_path / "records.csv", index=False)
    first = write_page(frame, run_info, tmp_path / "a").read_bytes()
    assert write_page(pd.read_csv(tmp_path / "records.csv"), run_info, tmp_path / "b").read_bytes() == first


@pytest.mark.slow
def test_ten_thousand_rows(make_many: Any, make_frame: Any, run_info: dict[str, Any], tmp_path: Path) -> None:
    text = write_page(make_frame(make_many()), run_info, tmp_path).read_text(encoding="utf-8")
    assert text.count("<tr>") < 500, "the rest is data, from which the page makes what is looked at"
    (block,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, flags=re.DOTALL)
    assert len(json.loads(block)["cases"]) == 10_000
    assert "The first 200 of 10,000 cases" in text
    assert "10 more curves are in the table only" in text
    assert len(text) < 5_000_000


def test_importing_the_report_is_cheap() -> None:
    code = "import sys, vigbench.report; print([n for n in ('matplotlib', 'jinja2', 'pandas') if n in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_an_option_and_its_value_stay_on_one_line() -> None:
    assert joined("again with --threads 1 or") == 'again with <span class="joined">--threads 1</span> or'
