"""The project's checks, each by one name; all but `versions` run in the environment that nox itself is installed in."""

import sys
from pathlib import Path

import nox

# tests that time nothing: two of their files run side by side, the longest first
LONGEST = ["tests/test_adding_a_model.py", "tests/ops/test_interpreted.py"]
FOLDERS = (
    "models",
    "subjects",
    "ops",
    "ptx",
    "analysis",
    "published",
    "records",
    "report",
    "stats",
    "suites",
    "bad_inputs",
)
SIDE_BY_SIDE = [
    *LONGEST,
    *(
        str(path)
        for folder in FOLDERS
        for path in sorted(Path("tests", folder).glob("[!_]*"))
        if str(path) not in LONGEST and (path.is_dir() or path.name.startswith("test_"))
    ),
    *map(str, sorted(Path("tests/browser").glob("test_*.py"))),
    *map(str, sorted(Path("tests/measure").glob("test_profile*.py"))),
    "tests/cli/test_claims_document.py",
    "tests/cli/test_evaluate.py",
    "tests/evaluation",
    "tests/test_architecture.py",
    "tests/test_committed_runs.py",
    "tests/test_documents.py",
    "tests/test_notebook.py",
    "tests/measure/test_all_of_timm.py",
    *map(str, sorted(Path("tests/measure").glob("test_closed_form*.py"))),
    "tests/measure/test_counting_rule.py",
    "tests/measure/test_flop_formulas.py",
    "tests/measure/test_free_operators.py",
    "tests/measure/test_skeleton.py",
    "tests/measure/test_timm_table.py",
    "tests/test_versions.py",
]

# a thread for each process: threads that wait for a busy core cost a hundred times what they compute
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
ENVIRONMENTS = sorted(path.stem for path in Path("constraints").glob("*.txt"))
# slow tests of what depends on versions most: multiply-adds, and the kernels' compilation
COUNTS_AND_COMPILATION = [
    "tests/measure/test_all_of_timm.py",
    *map(str, sorted(Path("tests/measure").glob("test_closed_form*.py"))),
    "tests/measure/test_cost.py",
    "tests/measure/test_counting_rule.py",
    "tests/measure/test_flop_formulas.py",
    "tests/measure/test_profile.py",
    "tests/measure/test_timm_table.py",
    *map(str, sorted(Path("tests/ops").glob("*/test_compiled.py"))),
    "tests/ops/gla/test_simulated.py",
    "tests/ops/test_machine_code.py",
]

nox.options.sessions = ["lint", "types", "tests"]


@nox.session(venv_backend="none")
def tests(session: nox.Session) -> None:
    """All tests that this machine can run: `nox -s tests -- -m "not slow"` for the quick core."""
    if any(Path(one.partition("::")[0]).exists() for one in session.posargs):  # only these
        session.run(sys.executable, "-m", "pytest", *session.posargs)
        return
    _run_tests(session, sys.executable, *session.posargs)


@nox.session(venv_backend="venv", python="3.11")  # the lowest that pyproject.toml allows
@nox.parametrize("environment", ENVIRONMENTS, ids=ENVIRONMENTS)
def versions(session: nox.Session, environment: str) -> None:
    """The core, all counts and all compilation with the versions of constraints/: `nox -s "versions(lowest)"`."""
    session.install("-c", f"constraints/{environment}.txt", "-e", ".[dev]")
    _run_tests(session, "python", "-m", "not slow", *session.posargs)
    side_by_side = ("-n", "2", "-m", "slow", *COUNTS_AND_COMPILATION)
    session.run("python", "-m", "pytest", *side_by_side, *session.posargs, env=ONE_THREAD)


def _run_tests(session: nox.Session, python: str, *options: str) -> None:
    """What times nothing two files at a time, then the rest."""
    two_files = ("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder")
    session.run(python, "-m", "pytest", *two_files, *SIDE_BY_SIDE, *options, env=ONE_THREAD)
    rest = [f"--ignore={one}" for one in ("tests/benchmarks", *SIDE_BY_SIDE)]
    session.run(python, "-m", "pytest", *rest, *options)


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
