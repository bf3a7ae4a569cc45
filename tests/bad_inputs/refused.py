"""What a wrong input has to end in: one line on stderr, exit code 2, and not one new file."""

import os
from pathlib import Path

from tests.commands import outcome

LONGEST_LINE = 1500  # characters: a message is read
NEVER = ("Traceback", "object at 0x", "<class", "errors.pydantic.dev", "validation error")
LONG = "y" * 3000


def refused(*words: str) -> str:
    """The one line with which a command ends in the current folder; asserts that it is one."""
    before = _files()
    code, said, line = outcome(*words)
    assert code == 2, f"exit code {code}: {said}{line}"
    assert said == ""
    assert line.startswith("vigbench: ")
    assert line.count("\n") == 1, line
    assert 25 < len(line) <= LONGEST_LINE, line
    assert not [word for word in NEVER if word in line], line
    assert _files() == before, "nothing is written, nothing is lost"
    return line.removeprefix("vigbench: ").strip()


def _files() -> dict[str, int]:
    """Every file below the current folder, with its size."""
    found = (Path(folder, name) for folder, _, names in os.walk(".") for name in names)
    return {str(file): file.stat().st_size for file in found if "__pycache__" not in file.parts}
