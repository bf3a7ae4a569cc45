"""Find and read suite files; every mistake in one is reported with the file, the key and what is allowed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from vigbench.nearest import did_you_mean, one_of
from vigbench.suites.schema import DeviceSection, Exclusion, SubjectEntry, Suite
from vigbench.suites.yaml_file import read_yaml

_PACKAGE = Path(__file__).parent
_MOST_SHOWN = 60  # characters of a wrong value
_FOLDERS = (_PACKAGE / "shipped", _PACKAGE.parents[1] / "suites")  # in a wheel; in a checkout


def suite_files() -> dict[str, Path]:
    """The shipped suites: name -> file."""
    folder = next((folder for folder in _FOLDERS if folder.is_dir()), None)
    assert folder is not None, "the package has lost its suites"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def list_suites() -> list[str]:
    """Names of the shipped suites."""
    return list(suite_files())


def load_suite(name_or_path: str | Path) -> Suite:
    """Read a shipped suite by name, or any suite file by path.

    Raises:
        ValueError: if there is no such suite, or its file has a mistake; the message names the file, the key,
            what is allowed and the nearest match.
    """
    text = str(name_or_path)
    shipped = suite_files()
    if text in shipped:
        return read_suite(shipped[text])
    path = Path(text)
    if path.is_file():
        return read_suite(path)
    if path.suffix in (".yaml", ".yml") or "/" in text:
        raise ValueError(f"There is no suite file {text}; check the path.")
    raise ValueError(f"There is no suite {text!r}{did_you_mean(text, shipped)} Suites: {one_of(shipped)}.")


def read_suite(path: Path) -> Suite:
    """Read and check one suite file; raises ValueError as `load_suite` does."""
    try:
        content = read_yaml(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: {error}.") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: a suite file holds the keys {one_of(Suite.model_fields)}; see suites/smoke.yaml.")
    try:
        return Suite.model_validate(content)
    except ValidationError as error:
        # a mistyped key is also a missing one: name the typing mistake first
        details = sorted(error.errors(), key=lambda detail: detail["type"] == "missing")
        more = f" ({len(details) - 1} more in this file.)" if len(details) > 1 else ""
        said = _explain(details[0])
        if "devices" not in content:  # as it is written there, see Suite
            said = re.sub(r"^devices\b", "profiles", said)
        raise ValueError(f"{path}: {said}{more}") from error


def _explain(detail: Any) -> str:
    location = tuple(part for part in detail["loc"] if part not in ("str", "function-before"))
    key = ".".join(str(part) for part in location) or "(top level)"
    last = str(location[-1]) if location else ""
    match detail["type"]:
        case "extra_forbidden":
            allowed = list(_model_at(location).model_fields)
            return f"{key}: unknown key{did_you_mean(last, allowed)} Allowed here: {one_of(allowed)}."
        case "missing":
            return f"{key}: this key is missing."
        case "enum":
            allowed = detail["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", ")
            wrong = str(detail["input"])
            return f"{key}: {wrong!r} is not allowed{did_you_mean(wrong, allowed)} Allowed: {one_of(allowed)}."
        case "value_error":
            return f"{key}: {detail['msg'].removeprefix('Value error, ')}."
        case "too_short":
            return f"{key}: the list is empty; name at least one value."
        case "string_type" if isinstance(detail["input"], bool | int | float):
            return f"{key}: {str(detail['input']).lower()} is no text here; put it in quotes."
        case "string_pattern_mismatch" | "string_too_long":
            allowed_name = "at most 80 small letters and digits, with single hyphens between them, as in my-suite"
            return f"{key}: {_shown(detail['input'])} is no name for a suite; write {allowed_name}."
        case "dict_type" | "model_type":
            return f"{key}: {_shown(detail['input'])} stands where keys with values do; see suites/smoke.yaml."
        case _:
            return f"{key}: {detail['msg'].lower()}, not {_shown(detail['input'])}."


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."


def _model_at(location: tuple[Any, ...]) -> type[BaseModel]:
    if location[0] == "subjects" and len(location) > 1:
        return SubjectEntry
    if location[0] == "devices" and len(location) > 1:
        return Exclusion if "exclude" in location else DeviceSection
    return Suite
