"""What pyproject.toml and the README promise of versions is what constraints/ holds and CI tries."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ENVIRONMENTS = {path.stem: path for path in (ROOT / "constraints").glob("*.txt")}
PIN = re.compile(r"([\w.-]+)==(\S+)")


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(environment: str) -> dict[str, str]:
    """Package -> version; every line that is no comment is one."""
    lines = [line for line in ENVIRONMENTS[environment].read_text().splitlines() if not line.startswith("#")]
    found = [PIN.fullmatch(line) for line in lines]
    assert all(found), [line for line, one in zip(lines, found, strict=True) if one is None]
    return {normalised(one[1]): one[2] for one in found if one is not None}


@pytest.mark.parametrize("requirement", PROJECT["dependencies"])
def test_the_lowest_version_that_is_allowed_is_tested(requirement: str) -> None:
    name, lowest = requirement.split(">=")
    tested = pins("lowest")[normalised(name)]
    assert f"{tested}.".startswith(f"{lowest}."), f"{tested} is tested, {lowest} allowed"


@pytest.mark.parametrize("environment", sorted(ENVIRONMENTS))
def test_an_environment_fixes_every_requirement(environment: str) -> None:
    extras = PROJECT["optional-dependencies"]
    requirements = [*PROJECT["dependencies"], *extras["dev"], *extras["volumes"]]
    names = {normalised(re.split(r"[<>=]", one)[0]) for one in requirements} - {"vigbench[volumes]"}
    assert names - {*pins(environment)} == set()


def test_the_workflow_tries_every_environment() -> None:
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    listed = re.search(r"environment: \[(.*)\]", workflow)
    assert listed is not None
    assert {one.strip(' "') for one in listed[1].split(",")} == set(ENVIRONMENTS)


def test_both_commands_of_the_readme_install_what_was_tested() -> None:
    commands = re.findall(r"<!-- (?:main|test)-command -->\n```sh\n(.*)\n```", (ROOT / "README.md").read_text())
    assert len(commands) == 2
    assert all("pip install -c constraints/newest.txt" in one for one in commands)


def test_the_newest_and_the_lowest_torch_stand_in_the_table_of_what_was_tried() -> None:
    text = (ROOT / "docs" / "decisions.md").read_text()
    for environment in ENVIRONMENTS:
        torch, triton = pins(environment)["torch"], pins(environment)["triton"]
        assert re.search(rf"\| `{environment}` \|.* {re.escape(torch)} \| {re.escape(triton)} \|", text), environment
