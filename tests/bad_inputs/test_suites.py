"""Suite files with a mistake, and files that are no suites."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.bad_inputs.refused import LONG, refused
from tests.commands import outcome

SUITE = """\
name: mine
question: How fast?
subjects:
  - name: resnet18
  - {name: gone, implementation: [eager, sdpa], args: {in_chans: 1}}
devices:
  cpu:
    resolution: [64, 128]
    batch_size: 1
    exclude: [{resolution: 64, batch_size: 1}]
    threads: 1
    budget: 20s
"""
EDITS = [("name: mine", f"name: {value}") for value in ("", "Mine", "a b", "[a]", "3", "{a: b}", "'../x'", LONG)]
EDITS += [
    ("question: How fast?", text) for text in ("question: ''", "question: 3", "question: [a]", "qestion: x", "a: b")
]
EDITS += [
    ("- name: resnet18", f"- {value}") for value in ("", "3", "true", "[a]", "{}", "{name: }", "{nam: a}", "{name: 3}")
]
EDITS += [("- name: resnet18", f"- {{name: a, args: {value}}}") for value in ("3", "[a]", "{img_size: 3}", "{a: {}}")]
EDITS += [
    ("- name: resnet18", f"- {{name: a, args: {value}}}") for value in ("{a: .nan}", "{in_chans: x}", "{'a b': 1}")
]
EDITS += [
    ("- name: resnet18", f"- {{name: a, implementation: {value}}}") for value in ("[]", "3", "''", "[x, x]", "{}")
]
EDITS += [("- name: resnet18", "- {name: a, gla: x, scan: y}"), ("- name: resnet18", "- resnet18\n  - resnet18")]
EDITS += [
    ("[64, 128]", value)
    for value in (
        "",
        "[]",
        "{}",
        "[64, 64]",
        "[64, 64x64]",
        "2_24",
        "0x40",
        "1:30",
        "64.5",
        ".inf",
        "true",
        "[[64]]",
        "-1",
        LONG,
    )
]
EDITS += [
    ("batch_size: 1\n    ex", f"batch_size: {value}\n    ex") for value in ("0", "x", "1.5", "[]", "yes", "[1, 1]")
]
EDITS += [
    ("batch_size: 1\n    ex", f"{line}\n    ex") for line in ("precision: fp99", "phase: 3", "compile: 1", "tf32: x")
]
EDITS += [
    ("batch_size: 1\n    ex", f"{line}\n    ex")
    for line in ("batchsize: 1", "length: 4", "shape: 1x2", "resolution: 1")
]
EDITS += [("{resolution: 64, batch_size: 1}", value) for value in ("{}", "3", "{x: 1}", "{resolution: x}", "[]")]
EDITS += [("threads: 1", f"threads: {value}") for value in ("-1", "x", "1.5", "99999", "[1]", "~")]
EDITS += [
    ("threads: 1", line) for line in ("processes: 0", "calibrate: 3", "case_timeout: x", "threads: 1\n    threads: 1")
]
EDITS += [
    ("budget: 20s", f"budget: {value}") for value in ("", "0", "soon", "1:30", "1h30", "-1", ".nan", "[1]", "yes", LONG)
]
EDITS += [
    ("cpu:", "gpu:"),
    ("devices:", "divices:"),
    ("devices:", "profiles: {}\ndevices:"),
    ("mine\n", "mine\nversion: 2\n"),
]
FILES = {
    "empty": b"",
    "a word": b"suite",
    "a list": b"- a\n- b\n",
    "a number": b"3",
    "nothing": b"~",
    "binary": bytes(range(256)),
    "zeros": b"\0" * 100,
    "half of UTF-16": SUITE.encode("utf-16")[:-1],
    "Latin-1": SUITE.replace("fast", "schnell für").encode("latin-1"),
    "tabs": SUITE.replace("    ", "\t").encode(),
    "two documents": f"{SUITE}---\n{SUITE}".encode(),
    "unclosed": b"name: [",
    "nested": b"[" * 20_000,
    "itself": b"name: &a [*a]",
    "bomb": b"a: &a [1,1,1,1,1,1,1,1,1,1]\n" + b"".join(
        b"%c: &%c [%s]\n" % (n + 1, n + 1, b",".join([b"*%c" % n] * 10)) for n in range(97, 106)
    ),
    "a tag": b"name: !!python/object/apply:os.getcwd []",
    "an unknown alias": b"name: *x",
    "JSON": b'{"name": "mine", "name": "yours"}',
    "a key that is a list": b"? [a]\n: b\n",
}  # fmt: skip


@pytest.mark.parametrize(("old", "new"), EDITS, ids=[f"{new.strip()[:40]}" for _, new in EDITS])
def test_a_mistake_is_one_line_that_names_the_file(here: Path, old: str, new: str) -> None:
    assert old in SUITE
    Path("mine.yaml").write_text(SUITE.replace(old, new, 1))
    assert refused("plan", "--suite", "mine.yaml", "--device", "cpu").startswith("mine.yaml: ")


@pytest.mark.parametrize("content", FILES.values(), ids=FILES)
def test_what_is_no_suite_is_refused(here: Path, content: bytes) -> None:
    Path("mine.yaml").write_bytes(content)
    assert refused("run", "--plan", "--suite", "mine.yaml").startswith("mine.yaml: ")


@pytest.mark.parametrize("name", ["", "nope", "nope.yaml", "adir", "adir/", "afile", "/dev/null", "a/" * 2000, LONG])
def test_a_name_that_is_no_suite_is_refused(here: Path, name: str) -> None:
    refused("plan", "--suite", name)


def test_there_are_many() -> None:
    assert len(set(EDITS)) + len(FILES) >= 110


VALUES: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)


@given(st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_value_in_any_place_is_planned_or_refused(here: Path, data: st.DataObject) -> None:
    content: Any = yaml.safe_load(SUITE)
    place: Any = content
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(VALUES)
    _planned_or_refused(yaml.safe_dump(content, allow_unicode=data.draw(st.booleans())).encode())


@given(st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_bytes_in_any_place_are_planned_or_refused(here: Path, data: st.DataObject) -> None:
    text = SUITE.encode()
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 8)))
    _planned_or_refused(text[:start] + data.draw(st.binary(max_size=6)) + text[end:])


def _planned_or_refused(content: bytes) -> None:
    """With --subject, so that names of models that are not there are no matter."""
    Path("mine.yaml").write_bytes(content)
    words = ("plan", "--suite", "mine.yaml", "--device", "cpu", "--subject", "resnet18")
    if outcome(*words)[0] != 0:
        refused(*words)
