"""The project's checks, each by one name. They run in the environment that nox itself is installed in."""

import os
import sys
from pathlib import Path

import nox

# tests that time nothing: two of their files run side by side, the longest first
LONGEST = ["tests/test_adding_a_model.py", "tests/ops/test_interpreted.py"]
FOLDERS = ("models", "ops", "analysis", "published", "records", "report", "stats", "suites")
SIDE_BY_SIDE = [
    *LONGEST,
    *(
        str(path)
        for folder in FOLDERS
        for path in sorted(Path("tests", folder).glob("[!_]*"))
        if str(path) not in LONGEST and path.name != "conftest.py"
    ),
    *map(str, sorted(Path("tests/browser").glob("test_*.py"))),
    *map(str, sorted(Path("tests/measure").glob("test_profile*.py"))),
    "tests/cli/test_claims_document.py",
    "tests/cli/test_evaluate.py",
    "tests/runner/evaluation",
    "tests/test_architecture.py",
    "tests/test_documents.py",
    "tests/test_notebook.py",
    "tests/measure/test_closed_form.py",
    "tests/measure/test_timm_table.py",
]

nox.options.sessions = ["lint", "types", "tests"]


@nox.session(venv_backend="none")
def tests(session: nox.Session) -> None:
    """All tests that this machine can run: `nox -s tests -- -m "not slow"` for the quick core."""
    pytest = (sys.executable, "-m", "pytest")
    if any(Path(one.partition("::")[0]).exists() for one in session.posargs):  # only these
        session.run(*pytest, *session.posargs)
        return
    # a thread for each process: threads that wait for a busy core cost a hundred times what they compute
    session.run(
        *pytest,
        "-n",
        "2",
        "--dist",
        "loadfile",
        "--no-loadscope-reorder",
        *SIDE_BY_SIDE,
        *session.posargs,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    rest = [f"--ignore={one}" for one in ("tests/benchmarks", *SIDE_BY_SIDE)]
    session.run(*pytest, *rest, *session.posargs)


@nox.session(venv_backend="none")
def lint(session: nox.Session) -> None:
    """Style, and the direction of imports."""
    session.run(sys.executable, "-m", "ruff", "check", ".")
    session.run(sys.executable, "-m", "ruff", "format", "--check", ".")
    session.run(
        sys.executable, "-c", "import sys; from importlinter.cli import lint_imports_command as c; sys.exit(c())"
    )


@nox.session(venv_backend="none")
def types(session: nox.Session) -> None:
    """Strict types of the package."""
    session.run(sys.executable, "-m", "mypy")


@nox.session(venv_backend="none")
def bench(session: nox.Session) -> None:
    """Timings for developers: operators (pytest-benchmark), waits and, for half an hour, the counts of duels."""
    session.run(sys.executable, "-m", "pytest", "tests/benchmarks", *session.posargs)


@nox.session(venv_backend="none")
def smoke(session: nox.Session) -> None:
    """The smoke suite, end to end, in under a minute."""
    session.run(sys.executable, "-m", "vigbench", "run", "--suite", "smoke", *session.posargs)


@nox.session(venv_backend="none")
def gpu(session: nox.Session) -> None:
    """On a machine with a GPU: check, tests, tuning and suites, into one folder: -- --budget 60m --only tests."""
    command = (sys.executable, "-m", "tests.gpu.session", *session.posargs)
    session.run(*command, interrupt_timeout=60, terminate_timeout=60)  # after Ctrl-C it ends its step, then says so
