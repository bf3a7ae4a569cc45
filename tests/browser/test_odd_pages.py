"""Pages with little or nothing to draw, and with everything at once, work without a message in the console."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from vigbench.analysis.compare import compare
from vigbench.records.metrics import Metrics
from vigbench.records.schema import Record, Status
from vigbench.report import Versus, write_page
from vigbench.suites.case import Case

pytestmark = [pytest.mark.browser, pytest.mark.slow]
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def made() -> ModuleType:
    """The records that the tests of the report use."""
    spec = spec_from_file_location("records_of_tests", Path(__file__).parents[1] / "report" / "conftest.py")
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def operators() -> list[Record]:
    """Two operators at three lengths, one of them without extra memory at all."""
    records = []
    for subject, family, share in (("gla", "vig", 0.0), ("attention", "deit", 2.0)):
        for length in (196, 1024, 4096):
            case = Case(subject=subject, implementation="x", length=length, heads=3, key_dim=32, value_dim=64)
            metrics = Metrics(latency_ms=length / 100, extra_memory_share=share, peak_memory_mib=1.0)
            records.append(Record(case_id=case.case_id, case=case, family=family, status=Status.ok,
                                  started_at="2026-01-01T10:00:00Z", metrics=metrics))  # fmt: skip
    return records


def every_choice(driver: Any) -> list[Any]:
    """Tries each option of each control of the explorer; returns what the console said."""
    driver.execute_script("""
    for (const select of document.querySelectorAll("#explorer select")) {
      for (const option of Array.from(select.options)) {
        select.value = option.value;
        select.dispatchEvent(new Event("change", { bubbles: true }));
      }
    }
    """)
    return list(driver.get_log("browser"))


def test_nothing_ended_well(open_page: Open, made: ModuleType, tmp_path: Path) -> None:
    records = [made.record("resnet50", "cnn", px, status=Status.error, reason="no", gmacs=None) for px in (224, 384)]
    driver = open_page(write_page(made.frame(records), {"run": "r"}, tmp_path))
    assert driver.get_log("browser") == []
    assert driver.find_elements("id", "explorer") == []
    assert driver.find_element("id", "count").text == "2 cases."


def test_a_run_without_a_case(open_page: Open, made: ModuleType, tmp_path: Path) -> None:
    driver = open_page(write_page(made.frame([]), {"run": "r"}, tmp_path))
    assert driver.get_log("browser") == []
    assert driver.find_elements("tag name", "script") == []
    assert "No case of this run has ended yet" in driver.find_element("tag name", "h1").text


@pytest.mark.parametrize("kind", ["operators", "one size", "both kinds", "many settings"])
def test_every_choice_works(kind: str, open_page: Open, made: ModuleType, tmp_path: Path) -> None:
    records = {
        "operators": operators,
        "one size": lambda: made.sweep((224,)),
        "both kinds": lambda: [*operators(), *made.sweep((224, 512))],
        "many settings": lambda: [one for batch in range(1, 8) for one in made.sweep((224, 384), batch_size=batch)],
    }[kind]()
    driver = open_page(write_page(made.frame(records), {"run": "r"}, tmp_path))
    assert every_choice(driver) == []
    assert driver.find_element("id", "beside-label").is_displayed() is (kind == "many settings")
    assert driver.find_elements("css selector", "#plot .panel")


def test_base_stands_behind_head_until_it_is_switched_off(open_page: Open, made: ModuleType, tmp_path: Path) -> None:
    import pandas as pd

    base, head = (made.frame(made.sweep((224, 384, 512))).assign(run=run) for run in ("base", "head"))
    versus = Versus("base", "head", compare(base, head), 0.03)
    infos = [{"run": "base"}, {"run": "head"}]
    frame = pd.concat([base, head], ignore_index=True)
    driver = open_page(write_page(frame, infos, tmp_path, versus=versus))
    thin = "#plot [aria-label='line'][stroke='var(--muted)']"
    assert len(driver.find_elements("css selector", thin)) == 7
    driver.find_element("id", "behind").click()
    assert driver.find_elements("css selector", thin) == []
    assert every_choice(driver) == []


def test_each_proportion_of_the_sides_has_its_own_sizes(open_page: Open, made: ModuleType, tmp_path: Path) -> None:
    records = [
        made.record("resnet50", "cnn", size, latency=float(index))
        for index, size in enumerate(("96", "192", "96x160", "192x320"), 1)
    ]
    driver = open_page(write_page(made.frame(records), {"run": "r"}, tmp_path))
    ticks = driver.execute_script("""
    return Array.from(document.querySelectorAll("#plot svg"), (svg) => Array.from(
      svg.querySelectorAll(".ticks-x text"), (tick) => tick.textContent));
    """)
    assert ticks == [["192", "96"], ["192x320", "96x160"]]
    assert every_choice(driver) == []
