"""A suite file says what people read in it, or is refused."""

import contextlib
import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from vigbench.suites.loader import load_suite
from vigbench.suites.yaml_file import MOST_VALUES, read_yaml

SUITE = """\
name: mine
question: How fast?
subjects:
  - name: resnet18
devices:
  cpu:
    resolution: [64, 128]
    budget: 20s
"""


def read(text: str) -> Any:
    return read_yaml(text.encode())


def suite(folder: Path, old: str = "", new: str = "") -> Path:
    assert old in SUITE
    (folder / "mine.yaml").write_text(SUITE.replace(old, new))
    return folder / "mine.yaml"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("224", 224),
        ("0224", 224),
        ("-7", -7),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".inf", math.inf),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("'0224'", "0224"),
        *((one, one) for one in ("2_24", "1:30", "0x10", "0o17", "yes", "No", "ON", "off", "y", "2026-01-01", "=")),
    ],
)
def test_a_word_is_what_people_read_or_a_text(text: str, value: object) -> None:
    found = read(f"a: {text}\n")["a"]
    assert (found, type(found)) == (value, type(value))


_TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=8)
_LEAVES = st.none() | st.booleans() | st.integers(-(10**12), 10**12) | _TEXTS
_VALUES = st.recursive(_LEAVES, lambda inner: st.lists(inner) | st.dictionaries(_TEXTS, inner), max_leaves=8)


@given(_VALUES)
def test_what_pyyaml_writes_is_read_back(value: Any) -> None:
    assert read(yaml.safe_dump(value)) == value


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    content = text.encode("utf-8", "surrogatepass")
    with contextlib.suppress(ValueError):
        read_yaml(content)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\n", "b.c is given twice (lines 3 and 5)"),
        ("a: 1\n'a': 2\n", "a is given twice (lines 1 and 2)"),
        ("x: [{a: 1}, {a: 1, a: 1, a: 2}]\n", "x.1.a is given 3 times (line 1)"),
        ("a: &x {b: 1}\nc: {<<: *x, <<: *x}\n", "c.<< is given twice (line 2)"),
        ("a: !!int '0x10'\n", "line 1: '0x10' is no int"),
        ("a: !!set {b}\n", "line 1: !!set is not read here; leave it out"),
        ("a: !!python/object:os.system x\n", "is not read here"),
        ("a: &x [1]\n<<: *x\n", "line 1: << takes a mapping"),
        ("? [1]\n: 2\n", "line 1: a list or mapping stands as a key"),
        ("a:\n\tb: 1\n", "found character '\\t' that cannot start any token; indent with spaces"),
        (
            "a: 1\n---\nb: 2\n",
            "this is not valid YAML: expected a single document in the stream but found another document",
        ),
        ("a: &x [*x]\n", "an alias stands inside what it names"),
        ("[" * 5000, "nested too deeply"),
        ("a: *b\n", "line 1: this is not valid YAML: found undefined alias 'b'"),
    ],
)
def test_what_could_be_misread_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  checked below
        read(text)
    assert message in str(caught.value)


def test_aliases_of_aliases_do_not_fill_the_memory() -> None:
    lines = [
        "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]",
        *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)),
    ]
    with pytest.raises(ValueError, match=f"more than {MOST_VALUES:,} values"):
        read("\n".join(lines))


def test_anchors_and_merges_work_and_an_own_key_comes_before_a_merged_one() -> None:
    found = read("base: &b {x: 1, y: 2}\nother: &o {y: 3, z: 4}\nboth: {y: 0, <<: [*b, *o]}\nagain: *b\n")
    assert found["both"] == {"x": 1, "y": 0, "z": 4}
    assert found["again"] == {"x": 1, "y": 2}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_no_part_of_the_suite(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "mine.yaml").write_text(SUITE, encoding=encoding)
    assert load_suite(tmp_path / "mine.yaml") == load_suite(suite(tmp_path))


def test_words_that_were_flags_are_names_where_a_name_is_meant_and_flags_where_a_flag_is(tmp_path: Path) -> None:
    path = suite(tmp_path, "resnet18\ndevices:\n  cpu:", "no\ndevices:\n  cpu:\n    compile: yes\n    calibrate: on")
    read_suite = load_suite(path)
    (section,) = read_suite.devices.values()
    assert read_suite.subjects[0].name == "no"
    assert (section.compile, section.calibrate) == ([True], True)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[64, 128]", "2_24", "devices.cpu.resolution.0: '2_24' is not a whole number"),
        ("[64, 128]", "[64, 064]", "devices.cpu.resolution: 64 is given more than once"),
        ("[64, 128]", "[64, 64x64]", "devices.cpu.resolution: 64 is given more than once"),
        ("20s", "1:30", "devices.cpu.budget: '1:30' is not a positive duration"),
        ("20s", "1h30", "devices.cpu.budget: '1h30' is not a positive duration"),
        ("20s", "1_0", "devices.cpu.budget: '1_0' is not a positive duration"),
        ("20s", "20s\n    threads: 0x2", "devices.cpu.threads: input should be a valid integer, not '0x2'"),
        ("name: resnet18", "name: 18", "subjects.0.name: 18 is no text here; put it in quotes"),
        ("name: resnet18", "name: true", "subjects.0.name: true is no text here; put it in quotes"),
        ("- name: resnet18", "- resnet18\n  - resnet18", "subjects: resnet18 is given more than once"),
        (
            "- name: resnet18",
            "- {name: a, implementation: [x, y]}\n  - {name: a, implementation: y}",
            "subjects: a y is given more than once",
        ),
        ("- name: resnet18", "- {name: a, args: {b: {}}}", "subjects.0.args: b holds dict"),
        ("- name: resnet18", "- {name: a, args: 3}", "subjects.0.args: '3' is no mapping of arguments"),
        (
            "- name: resnet18",
            "- {name: a, args: {img_size: 3}}",
            "subjects.0.args: img_size follows from the axis resolution",
        ),
        ("- name: resnet18", "- {name: a, args: {b: .nan}}", "subjects.0.args: b is nan; give a finite number"),
        (
            "- name: resnet18",
            "- {name: a, args: {in_chans: 0}}",
            "subjects.0.args: in_chans is '0'; write a whole number above 0",
        ),
    ],
)
def test_what_is_no_such_value_is_refused_as_it_is_written(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = suite(tmp_path, old, new)
    with pytest.raises(ValueError) as caught:  # noqa: PT011  checked below
        load_suite(path)
    assert str(caught.value).startswith(f"{path}: {message}")
