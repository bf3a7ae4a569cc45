"""The page in a real browser, opened from disk: nothing loaded, nothing executed, readable at every size."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]
HOSTILE = ["<script>alert(1)</script>", '"><img src=x onerror=alert(2)>', "</script><script>alert(3)</script>"]
Open = Callable[..., Any]
LEAST_PX = 8.5  # the smallest text of a picture that is read without zooming in
TEXT_SIZES = """
const scale = (svg) => svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
const shown = Array.from(document.querySelectorAll(".picture text")).filter((text) => text.checkVisibility());
return shown.map((text) => parseFloat(getComputedStyle(text).fontSize) * scale(text.ownerSVGElement));
"""


def test_no_console_message_and_no_request(opened: Any, page: Path) -> None:
    assert opened.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in opened.get_log("performance")]
    urls = {m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"}
    assert page.as_uri() in urls
    assert {url for url in urls if not url.startswith(("data:", "about:"))} == {page.as_uri()}


def test_hostile_names_stay_text_and_no_alert_opens(opened: Any) -> None:
    from selenium.common.exceptions import NoAlertPresentException

    with pytest.raises(NoAlertPresentException):
        _ = opened.switch_to.alert.text
    assert len(opened.find_elements("tag name", "script")) == 4
    assert opened.find_elements("css selector", "img, svg script, svg image, [onerror], [onclick]") == []
    shown = opened.execute_script("return document.body.innerText")
    static = opened.execute_script(
        "return Array.from(document.querySelectorAll('.picture .label'), (e) => e.textContent.trim())"
    )
    legend = opened.execute_script(
        "return Array.from(document.querySelectorAll('#families label span'), (e) => e.textContent)"
    )
    for name in HOSTILE:
        assert name in shown
        assert any(label.startswith(name[:6]) for label in static), "a long name is shortened"
        assert name in legend


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_the_page_fits_its_window(open_page: Open, page: Path, width: int) -> None:
    driver = open_page(page, width=width)
    measured = driver.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
    assert measured[1] == width
    assert measured[0] <= width
    pictures = [svg.rect for svg in driver.find_elements("css selector", ".picture svg") if svg.is_displayed()]
    assert pictures
    assert all(svg["x"] >= 0 and svg["x"] + svg["width"] <= width for svg in pictures)
    assert all(size >= LEAST_PX for size in driver.execute_script(TEXT_SIZES))
    plot, svg = (driver.find_element("css selector", name).rect for name in ("#plot", "#plot svg"))
    assert plot["x"] <= svg["x"]
    assert svg["x"] + svg["width"] <= plot["x"] + plot["width"] + 1


def test_dark_mode_changes_page_figures_and_explorer(open_page: Open, page: Path) -> None:
    script = """
    const fill = (name) => getComputedStyle(document.querySelector(name)).fill;
    const names = [".picture text", "#plot .ticks-y text"];
    return [getComputedStyle(document.body).backgroundColor, ...names.map(fill)];
    """
    found = {scheme: open_page(page, scheme=scheme).execute_script(script) for scheme in ("light", "dark")}
    assert found["light"] == ["rgb(255, 255, 255)", "rgb(92, 92, 102)", "rgb(92, 92, 102)"]
    assert found["dark"] == ["rgb(21, 21, 25)", "rgb(169, 169, 180)", "rgb(169, 169, 180)"]


def test_print_is_light_and_has_every_figure_and_no_control(open_page: Open, page: Path) -> None:
    driver = open_page(page, scheme="dark", kind="print")
    assert driver.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    for name in ("#explorer", "#filters", ".act", ".skip", "button.copy"):
        assert not any(one.is_displayed() for one in driver.find_elements("css selector", name)), name
    figures = driver.find_elements("css selector", "figure")
    assert len(figures) == 3
    assert all(figure.is_displayed() for figure in figures)
    driver.execute_script("for (const one of document.querySelectorAll('details')) one.open = false;")
    driver.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert driver.execute_script("return document.querySelectorAll('details:not([open])').length") == 0
    driver.execute_script("dispatchEvent(new Event('afterprint'))")
    assert driver.execute_script("return document.querySelectorAll('details[open]').length") == 0


def test_without_a_script_everything_but_the_controls_is_there(open_page: Open, page: Path) -> None:
    driver = open_page(page)
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        driver.refresh()
        assert driver.find_element("css selector", ".picture svg").is_displayed()
        assert len(driver.find_elements("css selector", "#table tbody tr")) == 30
        for name in ("#explorer", "#filters", "#pages"):
            assert not driver.find_element("css selector", name).is_displayed(), name
    finally:
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_headings_are_in_order_and_everything_has_a_name(opened: Any) -> None:
    levels = opened.execute_script(
        "return Array.from(document.querySelectorAll('h1,h2,h3'), (e) => Number(e.tagName[1]))"
    )
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    nameless = opened.execute_script("""
    const named = (e) => e.labels?.length || e.getAttribute("aria-label") || e.textContent.trim();
    return Array.from(document.querySelectorAll("select, input, button"), (e) => [named(e), e.outerHTML])
      .filter(([name]) => !name).map(([, html]) => html);
    """)
    assert nameless == []
    assert opened.execute_script("return document.documentElement.lang") == "en"
    assert opened.execute_script("return document.querySelectorAll('thead th:not([scope])').length") == 0


def test_the_keyboard_reaches_every_control_and_the_focus_is_seen(opened: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    reached, unseen = set(), []
    opened.execute_script("document.activeElement.blur()")
    body = opened.find_element("tag name", "body")
    for _ in range(45):
        body.send_keys(Keys.TAB)
        focused = opened.switch_to.active_element
        style = opened.execute_script(
            "const s = getComputedStyle(arguments[0]); return [s.outlineStyle, parseFloat(s.outlineWidth)];", focused
        )
        name = focused.get_attribute("id") or focused.text or focused.get_attribute("class")
        reached.add(name)
        if style[0] == "none" or style[1] < 1:
            unseen.append(name)
    assert {"metric", "setting", "x", "y", "plot", "all", "none", "name-0", "filter", "status", "family"} <= reached
    assert unseen == []
