"""Files of a run that somebody has opened and saved, and names that are no text."""

import codecs
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from vigbench.records.files import read_object, read_text, write_atomically
from vigbench.records.load import load_results
from vigbench.records.schema import Record
from vigbench.records.store import RunStore

INFO = {"suite": "smoke", "protocol": 1, "device_name": "café"}


def test_a_run_that_an_editor_on_windows_has_saved_is_read_as_before(
    tmp_path: Path, make_record: Callable[..., Record]
) -> None:
    store = RunStore.create(tmp_path / "run", INFO)
    record = make_record(64)
    store.append(record, [{"latency_ms": [6.4, 6.5]}], {"aten::mm": 2})
    before = load_results(store.folder)
    for path in [one for one in store.folder.rglob("*") if one.suffix in (".json", ".jsonl", ".csv")]:
        path.write_bytes(codecs.BOM_UTF8 + path.read_bytes().replace(b"\n", b"\r\n"))
    again = RunStore.open(store.folder)
    assert load_results(store.folder).equals(before)
    assert again.samples(record.case_id) == store.samples(record.case_id) == {"latency_ms": [[6.4, 6.5]]}


@pytest.mark.parametrize("content", ["{}".encode("utf-16"), b'{"a": "caf\xe9"}'])
def test_another_encoding_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "run.json"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"run\.json is not UTF-8 text: save it as UTF-8\.$"):
        read_text(file)


@pytest.mark.parametrize("text", ["", "{", "{}}", "[" * 100_000])
def test_damage_is_said_without_the_words_of_json(tmp_path: Path, text: str) -> None:
    file = tmp_path / "run.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"run\.json is damaged: it is no JSON from .* on\.$"):
        read_object(file)


def test_the_name_of_a_file_that_is_no_text_comes_back(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    content = {"command_line": ["--out", b"r\xe9sultats".decode("utf-8", "surrogateescape")]}
    write_atomically(file, json.dumps(content, ensure_ascii=False))
    assert read_object(file) == content
