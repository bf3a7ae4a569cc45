"""Every control of the explorer does what it says, with the mouse and with the keyboard."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from tests.browser.conftest import SIZES, record, table
from vigbench.report import write_page

pytestmark = [pytest.mark.browser, pytest.mark.slow]
Open = Callable[..., Any]


def choose(driver: Any, control: str, text: str) -> None:
    from selenium.webdriver.support.ui import Select

    Select(driver.find_element("id", control)).select_by_visible_text(text)


def options(driver: Any, control: str) -> list[str]:
    return [one.text for one in driver.find_elements("css selector", f"#{control} option")]


def labels(driver: Any) -> list[str]:
    return [one.text for one in driver.find_elements("css selector", "#plot .labels text")]


def ticks(driver: Any, axis: str) -> list[str]:
    name = f"#plot .ticks-{axis} text"
    return [one.text for one in driver.find_elements("css selector", name)]


def fragment(driver: Any) -> dict[str, list[str]]:
    return parse_qs(driver.current_url.partition("#")[2])


def text(driver: Any, name: str) -> str:
    return str(driver.find_element("id", name).text)


def test_it_begins_with_latency_and_both_settings_beside_each_other(opened: Any) -> None:
    assert options(opened, "metric") == [
        "Latency (ms)", "Activation memory (MiB)", "Multiply-adds per image (GMACs)",
    ]  # fmt: skip
    panels = opened.find_elements("css selector", "#plot .panel")
    assert [panel.find_element("tag name", "h3").text for panel in panels] == [
        "float32, batch 1, inference, 2 threads",
        "float32, batch 8, inference, 2 threads",
    ]
    assert panels[0].rect["y"] == panels[1].rect["y"]
    assert text(opened, "explore").startswith("At 1024 px (batch 1) ViG-T is 3.0x faster than DeiT-T")
    for part in ("Latency", "CPU", "batch 1", "batch 8", "run <script>alert(1)</script>"):
        assert part in text(opened, "explore-settings")


def test_side_by_side_panels_share_their_axes(opened: Any) -> None:
    first, second = opened.execute_script("""
    return Array.from(document.querySelectorAll("#plot svg"), (svg) => Array.from(
      svg.querySelectorAll(".ticks-y text"), (tick) => tick.textContent));
    """)
    assert first == second
    assert len(first) >= 3


def test_choosing_metric_and_setting_draws_them_and_names_them(opened: Any) -> None:
    choose(opened, "setting", "float32, batch 8, inference, 2 threads")
    choose(opened, "metric", "Activation memory (MiB)")
    assert len(opened.find_elements("css selector", "#plot .panel")) == 1
    assert text(opened, "plot").startswith("Activation memory (MiB)")
    assert text(opened, "explore").startswith("At 1024 px ViG-T needs as much activation memory as DeiT-T")
    assert fragment(opened) == {
        "metric": ["activation_memory_mib"],
        "setting": ["float32, batch 8, inference, 2 threads"],
    }
    choose(opened, "setting", "both, side by side")
    assert len(opened.find_elements("css selector", "#plot .panel")) == 2


def test_log_and_linear_axes(opened: Any) -> None:
    choose(opened, "setting", "float32, batch 1, inference, 2 threads")
    place = "return Array.from(document.querySelectorAll(\"#plot [aria-label='dot']\")).slice(-1)[0].innerHTML"
    seen = {opened.execute_script(place)}
    choose(opened, "y", "logarithmic")
    assert "0" not in ticks(opened, "y")
    choose(opened, "y", "linear")
    assert ticks(opened, "y")[0] == "0"
    seen.add(opened.execute_script(place))
    choose(opened, "x", "linear")
    seen.add(opened.execute_script(place))
    assert len(seen) == 3, "each choice moves the points"
    assert sorted(ticks(opened, "x"), key=int) == ["224", "512", "1024"]
    assert (fragment(opened)["x"], fragment(opened)["y"]) == (["linear"], ["linear"])


def test_curves_are_hidden_and_shown_one_by_one_by_family_and_all(opened: Any) -> None:
    choose(opened, "setting", "float32, batch 1, inference, 2 threads")
    every = set(labels(opened))
    assert {"ViG-T", "DeiT-T"} < every
    assert len(every) == 5
    opened.find_element("id", "name-1").click()
    assert every - set(labels(opened)) == {"DeiT-T"}
    assert text(opened, "shown") == "4 of 5"
    opened.find_element("xpath", "//button[@aria-label='Hide all of Other']").click()
    assert labels(opened) == ["ViG-T"]
    opened.find_element("id", "none").click()
    assert labels(opened) == []
    assert "Nothing to show" in text(opened, "plot")
    opened.find_element("xpath", "//button[@aria-label='Show all of Other']").click()
    assert len(labels(opened)) == 3
    opened.find_element("id", "all").click()
    assert set(labels(opened)) == every
    assert "hide" not in fragment(opened)


def test_a_linked_view_opens_as_it_was(open_page: Open, page: Path, opened: Any) -> None:
    choose(opened, "metric", "Activation memory (MiB)")
    choose(opened, "setting", "float32, batch 8, inference, 2 threads")
    choose(opened, "y", "logarithmic")
    opened.find_element("id", "name-0").click()
    shown, link = labels(opened), opened.current_url.partition("#")[2]
    again = open_page(page, f"#{link}")
    assert labels(again) == shown
    assert "ViG-T" not in shown
    assert not again.find_element("id", "name-0").is_selected()
    assert text(again, "plot").startswith("Activation memory (MiB)")
    assert again.get_log("browser") == []


@pytest.mark.parametrize("link", ["#metric=nothing&setting=%00&hide=x", "#cases", "#metric=%3Cimg%20src=x%3E&x=1&y=2"])
def test_a_link_that_makes_no_sense_opens_the_page_as_ever(open_page: Open, page: Path, link: str) -> None:
    driver = open_page(page, link)
    assert text(driver, "explore").startswith("At 1024 px")
    assert len(labels(driver)) >= 5
    assert driver.get_log("browser") == []


def test_a_cross_where_memory_ran_out(opened: Any) -> None:
    choose(opened, "setting", "float32, batch 1, inference, 2 threads")
    assert len(opened.find_elements("css selector", "#plot .end-out_of_memory path")) == 3
    assert text(opened, "notes").startswith("\N{MULTIPLICATION SIGN} out of memory: ")
    assert text(opened, "notes").count("at 1024 px") == 3
    choose(opened, "metric", "Multiply-adds per image (GMACs)")
    assert text(opened, "notes") == ""


def test_pointing_at_a_value_reads_it(opened: Any) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    choose(opened, "setting", "float32, batch 1, inference, 2 threads")
    readout = opened.find_element("id", "readout")
    assert not readout.is_displayed()
    dots = opened.find_elements("css selector", "#plot [aria-label='dot'] > *")
    opened.execute_script("arguments[0].scrollIntoView({block: 'center'})", dots[-1])
    ActionChains(opened).move_to_element(dots[-1]).perform()
    lines = readout.text.splitlines()
    assert lines == [
        "ViG-T",
        "Latency 1,024 ms at 1024 px",
        "95% interval 922 to 1,126 ms",
        "float32, batch 1, inference, 2 threads",
    ]
    ActionChains(opened).move_to_element(opened.find_element("id", "explore-settings")).perform()
    assert not readout.is_displayed()


def test_the_arrow_keys_read_point_after_point_aloud(opened: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    choose(opened, "setting", "float32, batch 1, inference, 2 threads")
    plot, heard = opened.find_element("id", "plot"), []
    keys = [Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_DOWN, Keys.END, Keys.ARROW_UP, Keys.HOME, Keys.ARROW_LEFT]
    for key in keys:
        plot.send_keys(key)
        heard.append(opened.execute_script("return document.getElementById('announcer').textContent"))
    assert [one.split(". ")[:2] for one in heard] == [
        ["ViG-T", "Latency 224 ms at 224 px"],
        ["ViG-T", "Latency 512 ms at 512 px"],
        ["DeiT-T", "Latency 1,536 ms at 512 px"],
        ["DeiT-T", "Latency 3,072 ms at 1024 px"],
        ["ViG-T", "Latency 1,024 ms at 1024 px"],
        ["ViG-T", "Latency 224 ms at 224 px"],
        ["ViG-T", "Latency 224 ms at 224 px"],
    ]
    assert heard[2].endswith("Marks: not converged")
    assert len(opened.find_elements("css selector", "#plot .ring")) == 1
    plot.send_keys(Keys.ESCAPE)
    assert not opened.find_element("id", "readout").is_displayed()


def test_the_same_picture_is_not_there_twice(opened: Any) -> None:
    def shown(name: str) -> bool:
        return bool(opened.find_element("id", name).is_displayed())

    assert (shown("latency_ms"), shown("activation_memory_mib")) == (False, True)
    choose(opened, "metric", "Activation memory (MiB)")
    assert (shown("latency_ms"), shown("activation_memory_mib")) == (True, False)
    choose(opened, "setting", "float32, batch 1, inference, 2 threads")
    assert shown("activation_memory_mib"), "the figure has a setting that the chart now lacks"


def test_disturbed_values_are_hollow_and_said_to_carry_no_conclusion(open_page: Open, tmp_path: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    records = [
        record(name, family, px, latency=px * scale)
        for name, family, scale in (("vig_tiny_patch16_224", "vig", 1.0), ("deit_tiny_patch16_224", "deit", 2.0))
        for px in SIZES
    ]
    frame = table(records).assign(marks=["contended", "", "", "contended", "contended", "contended"])
    info = {"run": "r", "suite": "s", "question": "q", "device_name": "CPU", "finished_at": "2026-01-01T11:00:00Z"}
    driver = open_page(write_page(frame, info, tmp_path))
    fills = driver.execute_script("""
    const all = document.querySelectorAll("#plot svg [aria-label=dot] > *");
    return Array.from(all, (dot) => dot.getAttribute("fill"));
    """)
    assert sorted(fills) == ["var(--paper)"] * 4 + ["var(--vig)"] * 2
    assert "Hollow marks carry no conclusion: 4 of 6 cases were disturbed" in text(driver, "notes")
    assert "4 of 6 cases were disturbed by other processes" in driver.find_element("class name", "state").text
    driver.find_element("id", "plot").send_keys(Keys.ARROW_RIGHT)
    assert "Disturbed: carries no conclusion" in text(driver, "readout")
    assert driver.get_log("browser") == []
