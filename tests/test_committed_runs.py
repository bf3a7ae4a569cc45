"""Records, pages, verdicts and exit codes of the committed runs stay what they were: `tests/committed.py` says how."""

import pytest

from tests.committed import FOLDER, TEXTS

QUICK = {name: text for name, text in TEXTS.items() if not name.endswith(".page.txt") and name != "claims.txt"}


@pytest.mark.parametrize("name", QUICK)
def test_a_command_says_of_a_committed_run_what_it_said(name: str) -> None:
    assert TEXTS[name]() == (FOLDER / name).read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(TEXTS.keys() - QUICK.keys()))
def test_a_page_and_the_claims_say_what_they_said(name: str) -> None:
    assert TEXTS[name]() == (FOLDER / name).read_text(encoding="utf-8")


def test_nothing_is_kept_that_no_command_says() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(TEXTS)
