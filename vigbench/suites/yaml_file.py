"""YAML as people read it: each key once, and numbers and words as YAML 1.2 has them.

PyYAML reads version 1.1, where 0224 is 148, 1:30 is 90 and `no` is false; of equal keys it keeps the last.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

MOST_VALUES = 100_000  # aliases of aliases make a small file hold more than memory can
LONGEST_NUMBER = 99  # characters; a longer one is a text
_TAG = "tag:yaml.org,2002:"
_PLAIN = {
    "null": ("~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": ("true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": ("[-+]?[0-9]+", list("-+0123456789")),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
    "merge": ("<<", ["<"]),
}
"""What a scalar without quotes is, where it is no text: 1_000, 0x10, 1:30, yes and 2026-01-01 are texts."""


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: Any = {}  # noqa: RUF012  PyYAML's own name and form


for _name, (_form, _first) in _PLAIN.items():
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(f"^(?:{_form})$"), _first)


def read_yaml(content: bytes) -> Any:
    """Mappings, lists, texts, numbers, flags and None in a YAML document; keys are texts.

    Raises:
        ValueError: without a full stop, if it is not valid, has a key twice, or says what is not read here; the message
            names the line.
    """
    try:
        node = yaml.compose(content, Loader=_Loader)
        return None if node is None else _Reading().value(node, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = "" if mark is None else f"line {mark.line + 1}: "
        said = " ".join(filter(None, (error.context, error.problem)))
        advice = "; indent with spaces" if "'\\t'" in said else ""
        raise ValueError(f"{where}this is not valid YAML: {said}{advice}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"this is not valid YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply, or an alias stands inside what it names") from error


class _Reading:
    def __init__(self) -> None:
        self.values = 0

    def value(self, node: Node, path: tuple[str, ...]) -> Any:
        self.values += 1
        if self.values > MOST_VALUES:
            raise ValueError(f"it holds more than {MOST_VALUES:,} values, aliases included")
        if isinstance(node, ScalarNode):
            return _scalar(node)
        if isinstance(node, SequenceNode) and node.tag == _TAG + "seq":
            return [self.value(entry, (*path, str(number))) for number, entry in enumerate(node.value)]
        if isinstance(node, MappingNode) and node.tag == _TAG + "map":
            return self.mapping(node, path)
        raise _tag_refused(node)

    def mapping(self, node: MappingNode, path: tuple[str, ...]) -> dict[str, Any]:
        """Its entries; those that `<<` brings give way to its own."""
        lines: dict[str, list[int]] = {}
        for key, _ in node.value:
            if not isinstance(key, ScalarNode):
                raise ValueError(f"line {_line(key)}: a list or mapping stands as a key; write a name")
            lines.setdefault(key.value, []).append(_line(key))
        for name, found in lines.items():
            if len(found) > 1:
                raise ValueError(f"{'.'.join((*path, name))} is given {_times(found)}")
        merged: dict[str, Any] = {}
        own = {}
        for key, entry in node.value:
            if key.tag == _TAG + "merge":
                for base in _bases(entry):
                    merged = {**self.mapping(base, path), **merged}
            else:
                own[key.value] = self.value(entry, (*path, key.value))
        return {**merged, **own}


def _scalar(node: ScalarNode) -> Any:
    text: str = node.value
    kind = node.tag.removeprefix(_TAG)
    if kind == "str" or (node.style is None and len(text) > LONGEST_NUMBER):
        return text
    if kind not in _PLAIN or kind == "merge":
        raise _tag_refused(node)
    if not re.fullmatch(_PLAIN[kind][0], text):  # an explicit tag
        raise ValueError(f"line {_line(node)}: {text[:40]!r} is no {kind}")
    match kind:
        case "null":
            return None
        case "bool":
            return text.lower() == "true"
        case "int":
            return int(text)
        case _:
            return float(re.sub(r"\.(?=[a-zA-Z])", "", text))


def _bases(node: Node) -> Iterator[MappingNode]:
    for base in node.value if isinstance(node, SequenceNode) else [node]:
        if not isinstance(base, MappingNode):
            raise ValueError(f"line {_line(node)}: << takes a mapping, or a list of them")
        yield base


def _tag_refused(node: Node) -> ValueError:
    tag = node.tag.replace(_TAG, "!!")
    return ValueError(f"line {_line(node)}: {tag} is not read here; leave it out")


def _times(lines: list[int]) -> str:
    several = sorted(set(lines))
    *first, last = map(str, several)
    where = f"lines {', '.join(first)} and {last}" if first else f"line {last}"
    return f"{'twice' if len(lines) == 2 else f'{len(lines)} times'} ({where})"


def _line(node: Node) -> int:
    line: int = node.start_mark.line
    return line + 1
