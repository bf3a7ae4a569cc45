"""A command as somebody types it, in this process."""

import io
from contextlib import redirect_stderr, redirect_stdout
from unittest.mock import patch

import pytest

from vigbench.cli import main


def outcome(*words: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `vigbench <words>`; an exception that it lets through fails the test."""
    said, errors = io.StringIO(), io.StringIO()
    typed = patch("sys.argv", ["vigbench", *words])
    with typed, redirect_stdout(said), redirect_stderr(errors), pytest.raises(SystemExit) as ended:
        main()
    assert isinstance(ended.value.code, int)
    return ended.value.code, said.getvalue(), errors.getvalue()
