"""A session's folder: it is continued where it belongs, and refused where it does not."""

import json
from pathlib import Path

import pytest

from tests.gpu.session.page import SHOWN_FAILURES, Row, Status
from tests.gpu.session.summary import Summary, failure_line, faults_of_check, last_words

MACHINE = {"device": "a GPU", "driver": "1", "torch": "2", "triton": "3", "python": "3.12", "commit": "abc"}


def test_a_folder_is_continued_and_what_is_run_again_begins_anew(tmp_path: Path) -> None:
    first = Summary(tmp_path, MACHINE)
    for step in ("check", "tests"):
        first.failures_file(step).write_text(failure_line("x", "wrong") + "\n")
        first.set(step, Row(Status.failed, 3.0, 9.0, 1, ["wrong"]))
    second = Summary(tmp_path, MACHINE)
    second.begin_anew("tests")
    assert second.rows == {"check": Row(Status.failed, 3.0, 9.0, 1, ["wrong"]), "tests": Row(Status.waiting)}
    assert len(second.failures("check")) == 1
    assert second.failures("tests") == []


@pytest.mark.parametrize("name", ["device", "driver", "torch", "triton", "commit"])
def test_a_folder_of_another_machine_version_or_commit_is_refused(name: str, tmp_path: Path) -> None:
    Summary(tmp_path, MACHINE).set("check", Row(Status.passed))
    with pytest.raises(ValueError, match=f"results of another {name}. Choose another folder with --out"):
        Summary(tmp_path, {**MACHINE, name: "other"})


def test_a_damaged_summary_is_named(tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text("{")
    with pytest.raises(ValueError, match=r"summary\.json is damaged.*--out"):
        Summary(tmp_path, MACHINE)


def test_a_failure_that_was_cut_off_while_it_was_written_hides_no_other(tmp_path: Path) -> None:
    summary = Summary(tmp_path, MACHINE)
    summary.failures_file("tests").write_text(failure_line("a", "wrong\nmore") + "\n" + failure_line("b", "x")[:9])
    summary.set("tests", Row(Status.failed))
    assert [one["id"] for one in json.loads((tmp_path / "summary.json").read_text())["failures"]["tests"]] == ["a"]
    page = (tmp_path / "summary.md").read_text()
    assert "* tests: `a`: wrong\n" in page


def test_the_page_says_how_many_failures_it_leaves_out(tmp_path: Path) -> None:
    summary = Summary(tmp_path, MACHINE)
    count = SHOWN_FAILURES + 7
    summary.failures_file("tests").write_text("".join(failure_line(str(i), "wrong") + "\n" for i in range(count)))
    summary.set("tests", Row(Status.failed))
    page = (tmp_path / "summary.md").read_text()
    assert page.count("* tests: `") == SHOWN_FAILURES
    assert "* 7 more in `failures/`" in page
    assert f"| tests | failed | 0 |  | {count} |" in page


def test_where_packages_lie_is_left_out(tmp_path: Path) -> None:
    text = 'File "/home/me/.venv/lib/python3.12/site-packages/torch/x.py", line 3, and ../venv/lib/site-packages/y.py'
    expected = 'File "site-packages/torch/x.py", line 3, and site-packages/y.py'
    assert json.loads(failure_line("a", text, traceback=text, seconds=1.5)) == {
        "id": "a",
        "error": expected,
        "traceback": expected,
        "seconds": 1.5,
    }
    (tmp_path / "log").write_text(f"first\n\n{text}\n \n")
    assert last_words(tmp_path / "log") == ["first", expected]


def test_what_a_check_finds_wrong_is_a_failure_and_what_cannot_run_is_none(tmp_path: Path) -> None:
    def row(implementation: str, status: str, reason: str = "") -> dict[str, str]:
        names = {"operator": "gla", "implementation": implementation, "precision": "bfloat16"}
        return {**names, "status": status, "reason": reason, "where": "dq of 64 tokens"}

    rows = [row("torch_chunk", "ok"), row("fla", "unsupported", "not installed"), row("triton_fused", "wrong_result")]
    file = tmp_path / "check.json"
    file.write_text(json.dumps({"device": "a GPU", "rows": [*rows, row("reference", "crashed", "SIGSEGV")]}))
    found = [json.loads(line) for line in faults_of_check(file)]
    assert [(one["id"], one["error"]) for one in found] == [
        ("gla/triton_fused/bfloat16", "wrong_result: dq of 64 tokens"),
        ("gla/reference/bfloat16", "crashed: SIGSEGV"),
    ]
    file.write_text("")
    assert faults_of_check(file) == []
