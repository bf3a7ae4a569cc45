"""PTX as a list of instructions, from the text that Triton's compiler hands to ptxas."""

import re
from typing import NamedTuple

_LABEL = re.compile(r"^(\$?[\w$]+):$")
_GUARD = re.compile(r"^@(!?)(%p\d+)\s+")
_PARAMETER = re.compile(r"\.param\s+\.(\w+)\s.*?(\w+_param_\d+)")
_OPERANDS = re.compile(r"\{[^}]*\}|\[[^\]]*\]|[^,\s][^,]*")


class Instruction(NamedTuple):
    """One instruction: `parts` of its name, as in ("ld", "global", "v2", "b32"), and its operands as they stand."""

    parts: tuple[str, ...]
    operands: tuple[str, ...]
    guard: str  # the predicate's register; "" where there is none
    negated: bool


class Program(NamedTuple):
    """Instructions, where labels point, and the types of the parameters by name, in order."""

    instructions: list[Instruction]
    labels: dict[str, int]
    parameters: dict[str, str]


def parse(ptx: str) -> Program:
    """The one kernel of a module."""
    instructions: list[Instruction] = []
    labels: dict[str, int] = {}
    header, _, body = ptx.partition("\n{\n")
    for statement in _statements(body):
        if label := _LABEL.match(statement):
            labels[label[1]] = len(instructions)
        elif not statement.startswith("."):
            instructions.append(_instruction(statement))
    return Program(instructions, labels, {name: kind for kind, name in _PARAMETER.findall(header)})


def _statements(body: str) -> list[str]:
    found = []
    for line in body.splitlines():
        code = line.partition("//")[0].strip()
        if code in ("", "{", "}", ")", "("):
            continue
        found += [part.strip() for part in code.split(";") if part.strip()]
    return found


def _instruction(statement: str) -> Instruction:
    guard, negated = "", False
    if match := _GUARD.match(statement):
        guard, negated = match[2], match[1] == "!"
        statement = statement[match.end() :]
    name, _, rest = statement.partition(" ") if "\t" not in statement else _split_tab(statement)
    parts = tuple(name.replace("::", "_").split("."))
    return Instruction(parts, tuple(one.strip() for one in _OPERANDS.findall(rest.strip())), guard, negated)


def _split_tab(statement: str) -> tuple[str, str, str]:
    name, _, rest = statement.replace("\t", " ").partition(" ")
    return name, "", rest
