"""The page in a real browser, opened from disk."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vigbench.records.schema import Metrics, Record, Status, columns
from vigbench.report import write_report
from vigbench.suites.case import Case

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium or chromedriver is not installed"),
]

HOSTILE = ["<script>alert(1)</script>", '"><img src=x onerror=alert(2)>', "javascript:alert(3)"]
FLAGS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
--disable-component-update --disable-sync --window-size=1280,900"""


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for flag in [*FLAGS.split(), f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import pandas as pd

    records = []
    names = [("vig_tiny_patch16_224", "vig"), ("deit_tiny_patch16_224", "deit"), *((name, "other") for name in HOSTILE)]
    for index, (name, family) in enumerate(names):
        for px in (224, 512, 1024):
            case = Case(subject=name, resolution=px)
            failed = index > 1 and px == 1024
            metrics = (
                Metrics()
                if failed
                else Metrics(latency_ms=px * (1.0 + (index * 7) % 5), activation_memory_mib=px * 9.0)
            )
            status = Status.out_of_memory if failed else Status.ok
            records.append(
                Record(
                    case_id=case.case_id,
                    case=case,
                    family=family,
                    status=status,
                    reason=name if failed else "",
                    started_at="2026-01-01T10:00:00Z",
                    metrics=metrics,
                )
            )
    front = {"run": "r", "suite": "s", "protocol": 1, "device_name": "CPU", "torch_version": "2"}
    frame = pd.DataFrame([{**front, **record.row()} for record in records], columns=[*front, *columns()])
    info = {"run": HOSTILE[0], "suite": HOSTILE[1], "question": HOSTILE[1], "planned_cases": 15, "finished_at": None}
    info |= {"command_line": ["vigbench", "run", "x" * 300], "environment": {"long": "y" * 300, HOSTILE[0]: HOSTILE[1]}}
    return write_report(frame, info, tmp_path_factory.mktemp("report"))


@pytest.fixture
def opened(driver: Any, page: Path) -> Any:
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    driver.get_log("browser")
    driver.get_log("performance")
    driver.get(page.as_uri())
    return driver


def column(driver: Any, name: str) -> list[str]:
    script = """
    const table = document.querySelector("table.sortable");
    const at = Array.from(table.tHead.rows[0].cells).findIndex((cell) => cell.textContent.startsWith(arguments[0]));
    return Array.from(table.tBodies[0].rows, (row) => row.cells[at].textContent);
    """
    return list(driver.execute_script(script, name))


def test_no_console_message_and_no_request(opened: Any, page: Path) -> None:
    assert opened.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in opened.get_log("performance")]
    urls = {m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"}
    assert page.as_uri() in urls
    assert {url for url in urls if not url.startswith("data:")} == {page.as_uri()}


def test_sorting_by_number_and_by_text(opened: Any) -> None:
    def click(name: str) -> None:
        opened.find_element(
            "xpath", f"//table[contains(@class,'sortable')]//th[button[starts-with(., '{name}')]]/button"
        ).click()

    before = column(opened, "Latency")
    assert "" in before
    numbers = sorted(float(text.replace(",", "")) for text in before if text)
    empty = [""] * before.count("")
    click("Latency")
    ascending = column(opened, "Latency")
    assert [float(text.replace(",", "")) for text in ascending if text] == numbers
    assert ascending[-len(empty) :] == empty
    click("Latency")
    descending = column(opened, "Latency")
    assert [float(text.replace(",", "")) for text in descending if text] == numbers[::-1]
    assert descending[-len(empty) :] == empty
    assert opened.find_element("css selector", "th[aria-sort=descending]").text.startswith("Latency")
    click("Status")
    assert column(opened, "Status") == ["ok"] * 12 + ["out of memory"] * 3
    assert len(opened.find_elements("css selector", "th[aria-sort]")) == 1


def test_hostile_names_stay_text_and_no_alert_opens(opened: Any) -> None:
    from selenium.common.exceptions import NoAlertPresentException

    with pytest.raises(NoAlertPresentException):
        _ = opened.switch_to.alert.text
    assert len(opened.find_elements("tag name", "script")) == 1
    assert opened.find_elements("css selector", "img, svg script, svg image, [onerror], [onclick]") == []
    shown = opened.execute_script("return document.body.textContent")
    labels = opened.execute_script(
        "return Array.from(document.querySelectorAll('svg.wide .label'), (e) => e.textContent.trim())"
    )
    for name in HOSTILE:
        assert name in shown
        assert name in labels


@pytest.mark.parametrize("width", [420, 768, 1280])
def test_the_page_fits_its_window(opened: Any, width: int) -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    measured = opened.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
    assert measured[1] == width
    assert measured[0] <= width
    shown = "narrow" if width == 420 else "wide"
    visible = [svg.get_attribute("class") for svg in opened.find_elements("css selector", "svg") if svg.is_displayed()]
    assert visible
    assert set(visible) == {shown}


def test_dark_mode_changes_page_and_pictures(opened: Any) -> None:
    script = """
    const text = document.querySelector("svg.wide text");
    return [getComputedStyle(document.body).backgroundColor, getComputedStyle(text).fill];
    """
    found = {}
    for scheme in ("light", "dark"):
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        found[scheme] = opened.execute_script(script)
    assert found["light"] == ["rgb(255, 255, 255)", "rgb(92, 92, 102)"]
    assert found["dark"] == ["rgb(21, 21, 25)", "rgb(169, 169, 180)"]
