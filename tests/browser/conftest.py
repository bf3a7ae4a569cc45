"""A browser without a window, and a page to look at; tests are skipped where there is none."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from vigbench.records.metrics import Metrics
from vigbench.records.schema import Record, Status, columns
from vigbench.report import write_page
from vigbench.suites.case import Case

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
HOSTILE = ["<script>alert(1)</script>", '"><img src=x onerror=alert(2)>', "</script><script>alert(3)</script>"]
SIZES = (224, 512, 1024)
FLAGS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
--disable-component-update --disable-sync --window-size=1280,900"""

LOADED = "return location.protocol === 'file:' && document.readyState === 'complete'"


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    if not (CHROMIUM and DRIVER):
        pytest.skip("chromium or chromedriver is not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in [*FLAGS.split(), f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=DRIVER))
    yield driver
    driver.quit()


def record(subject: str, family: str, px: int, latency: float | None, batch: int = 1) -> Record:
    """One case; without a latency it ran out of memory."""
    case = Case(subject=subject, resolution=px, batch_size=batch, threads=2)
    metrics = Metrics()
    if latency is not None:
        metrics = Metrics(latency_ms=latency, latency_low_ms=0.9 * latency, latency_high_ms=1.1 * latency,
                          activation_memory_mib=9.0 * px, gmacs=px / 100)  # fmt: skip
    return Record(
        case_id=case.case_id,
        case=case,
        family=family,
        status=Status.ok if latency is not None else Status.out_of_memory,
        reason="" if latency is not None else subject,
        marks=("not_converged",) if subject.startswith("deit") and px == 512 else (),
        started_at="2026-01-01T10:00:00Z",
        metrics=metrics,
    )


def table(records: list[Record]) -> Any:
    import pandas as pd

    front = {"run": "r", "suite": "s", "protocol": 1, "device_name": "CPU", "torch_version": "2"}
    return pd.DataFrame([{**front, **one.row()} for one in records], columns=[*front, *columns()])


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five models, three of them with names that attack, at three sizes and two batches; those end before 1024 px."""
    names = [("vig_tiny_patch16_224", "vig"), ("deit_tiny_patch16_224", "deit"), *((name, "other") for name in HOSTILE)]
    records = [
        record(name, family, px, None if index > 1 and px == 1024 else px * batch * (1.0 + (index * 7) % 5), batch)
        for batch in (1, 8)
        for index, (name, family) in enumerate(names)
        for px in SIZES
    ]
    info = {"run": HOSTILE[0], "suite": HOSTILE[1], "question": HOSTILE[1], "planned_cases": 40, "device_name": "CPU"}
    info |= {"command_line": ["vigbench", "run", "x" * 300], "environment": {"long": "y" * 300, HOSTILE[0]: HOSTILE[1]}}
    return write_page(table(records), info, tmp_path_factory.mktemp("report"))


@pytest.fixture
def open_page(driver: Any) -> Callable[..., Any]:
    from selenium.webdriver.support.ui import WebDriverWait

    def open_page(path: Path, fragment: str = "", width: int = 1280, **media: str) -> Any:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        features = [{"name": "prefers-color-scheme", "value": media.get("scheme", "light")}]
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media.get("kind", ""), "features": features})
        driver.get("about:blank")
        for log in ("browser", "performance"):
            driver.get_log(log)
        driver.get(path.as_uri() + fragment)
        # on a busy machine `get` returns now and then while the page is still loading (8 of 221 times at load 8)
        WebDriverWait(driver, 60).until(lambda _: driver.execute_script(LOADED))
        return driver

    return open_page


@pytest.fixture
def opened(open_page: Callable[..., Any], page: Path) -> Any:
    return open_page(page)
