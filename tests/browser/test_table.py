"""The table of all cases: sorted, filtered, turned over, and the command of a case copied."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vigbench.report import write_page

pytestmark = [pytest.mark.browser, pytest.mark.slow]
Open = Callable[..., Any]


def column(driver: Any, name: str) -> list[str]:
    script = """
    const table = document.getElementById("table");
    const at = Array.from(table.tHead.rows[0].cells).findIndex((cell) => cell.textContent.startsWith(arguments[0]));
    return Array.from(table.tBodies[0].rows, (row) => row.cells[at].textContent);
    """
    return list(driver.execute_script(script, name))


def sort_by(driver: Any, name: str) -> None:
    button = driver.find_element("xpath", f"//table[@id='table']//th/button[starts-with(., '{name}')]")
    driver.execute_script("arguments[0].click()", button)


def fill(driver: Any, text: str) -> None:
    box = driver.find_element("id", "filter")
    box.clear()
    box.send_keys(text)


def count(driver: Any) -> str:
    return str(driver.find_element("id", "count").text)


def test_sorting_by_number_and_by_text(opened: Any) -> None:
    before = column(opened, "Latency")
    assert "" in before
    numbers = sorted(float(text.replace(",", "")) for text in before if text)
    empty = [""] * before.count("")
    sort_by(opened, "Latency")
    ascending = column(opened, "Latency")
    assert [float(text.replace(",", "")) for text in ascending if text] == numbers
    assert ascending[-len(empty) :] == empty
    sort_by(opened, "Latency")
    descending = column(opened, "Latency")
    assert [float(text.replace(",", "")) for text in descending if text] == numbers[::-1]
    assert descending[-len(empty) :] == empty
    assert opened.find_element("css selector", "th[aria-sort=descending]").text.startswith("Latency")
    sort_by(opened, "Status")
    assert column(opened, "Status") == ["ok"] * 24 + ["out of memory"] * 6
    assert len(opened.find_elements("css selector", "th[aria-sort]")) == 1


def test_the_script_shows_what_the_page_held_without_it(open_page: Open, page: Path) -> None:
    rows = """
    const page = arguments[0] ? new DOMParser().parseFromString(arguments[0], "text/html") : document;
    const cells = (row) => Array.from(row.cells).filter((cell) => cell.className !== "act");
    return Array.from(page.getElementById("table").tBodies[0].rows, (row) =>
      cells(row).map((cell) => [cell.textContent, cell.title, cell.className]));
    """
    driver = open_page(page)
    shown, static = driver.execute_script(rows), driver.execute_script(rows, page.read_text("utf-8"))
    assert shown == static
    assert len(shown) == 30


def test_the_filter_wants_every_word_and_the_menus_a_status_and_a_family(opened: Any) -> None:
    from selenium.webdriver.support.ui import Select

    fill(opened, "deit 512")
    assert set(column(opened, "Model")) == {"DeiT-T"}
    assert column(opened, "Resolution") == ["512", "512"]
    assert count(opened) == "2 of 30 cases."
    fill(opened, "NOT CONVERGED batch 8")
    assert column(opened, "Batch") == ["8"]
    fill(opened, "<script>alert(1)")
    assert len(column(opened, "Model")) == 6
    fill(opened, "no such model")
    assert count(opened) == "0 of 30 cases."
    fill(opened, " ")
    assert count(opened) == "30 cases."
    Select(opened.find_element("id", "status")).select_by_visible_text("out of memory")
    assert count(opened) == "6 of 30 cases."
    Select(opened.find_element("id", "family")).select_by_visible_text("ViG")
    assert count(opened) == "0 of 30 cases."
    Select(opened.find_element("id", "status")).select_by_visible_text("all")
    assert set(column(opened, "Model")) == {"ViG-T"}


@pytest.mark.parametrize("clipboard", [True, False])
def test_the_command_of_a_case_is_copied_and_said(opened: Any, clipboard: bool) -> None:
    taken = """
    window.taken = [];
    const write = (text) => { window.taken.push(text); return Promise.resolve(); };
    const clipboard = arguments[0] ? { writeText: write } : undefined;
    Object.defineProperty(navigator, "clipboard", { value: clipboard, configurable: true });
    document.execCommand = () => { window.taken.push(document.activeElement.value); return true; };
    """
    opened.execute_script(taken, clipboard)
    fill(opened, "deit 512 batch 8")
    (button,) = opened.find_elements("css selector", "#table .act button")
    assert button.get_attribute("aria-label") == "Copy the command that repeats DeiT-T at 512 px"
    opened.execute_script("arguments[0].click()", button)
    command = (
        "vigbench run --subject deit_tiny_patch16_224 --implementation default --resolution 512 "
        "--batch-size 8 --precision float32 --phase inference --threads 2 --device cpu"
    )
    assert opened.execute_async_script("setTimeout(() => arguments[0](window.taken), 50)") == [command]
    assert opened.execute_script("return document.getElementById('announcer').textContent") == f"Copied: {command}"
    assert button.text == "copied"
    assert opened.switch_to.active_element == button


@pytest.fixture(scope="session")
def long_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("records_of_tests", Path(__file__).parents[1] / "report" / "conftest.py")
    assert spec
    assert spec.loader
    records = module_from_spec(spec)
    spec.loader.exec_module(records)
    return write_page(records.frame(records.many(450)), {"run": "long"}, tmp_path_factory.mktemp("long"))


def test_a_long_table_has_pages(open_page: Open, long_page: Path) -> None:
    driver = open_page(long_page)
    assert len(column(driver, "Model")) == 200
    assert count(driver) == "450 cases, rows 1 to 200 here; records.csv beside this page has all."
    sort_by(driver, "Latency")
    values = [float(text.replace(",", "")) for text in column(driver, "Latency")]
    before, after = driver.find_element("id", "before"), driver.find_element("id", "after")
    assert not before.is_enabled()
    for page, rows in ((2, 200), (3, 50)):
        after.click()
        assert driver.find_element("id", "page").text == f"{page} of 3"
        assert len(column(driver, "Latency")) == rows
        values += [float(text.replace(",", "")) for text in column(driver, "Latency") if text]
    assert values == sorted(values)
    assert not after.is_enabled()
    before.click()
    assert driver.find_element("id", "page").text == "2 of 3"
    fill(driver, "model_01")
    assert not driver.find_element("id", "pages").is_displayed()
    assert driver.get_log("browser") == []
