"""Folders of runs, duels and evaluations that somebody has damaged, or that are of another tool or version."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.bad_inputs.refused import refused
from tests.commands import outcome

READERS = {
    "compare": ("compare", "good", "bad"),
    "gate": ("gate", "--baseline", "good", "--head", "bad"),
    "scaling": ("scaling", "bad"),
    "report": ("report", "bad", "--out", "made"),
    "claims": ("claims", "--claim", "vig-s-parameters", "--suite-run", "bad"),
}
INFO: dict[str, Any] = {
    "suite": 3, "device_name": [1], "environment": "x", "command_line": 5, "started_at": 5, "finished_at": {"a": 1},
    "budget_s": "x", "processes": "many", "case_timeout_s": [1], "question": ["a"], "suite_definition": "x", "cases": 3,
    "calibrate": 1, "planned_cases": True, "run": {},
}  # fmt: skip
ENVIRONMENT = {"cpu": 3, "gpu": "x", "packages": [1], "memory_gib": 5, "torch": 2.9, "ceilings": "x"}
RECORD: dict[str, Any] = {
    "status": "great", "marks": 3, "case_id": None, "started_at": 5, "family": 1, "new_column": 1, "case": 3,
    "metrics": [],
}  # fmt: skip
CASE: dict[str, Any] = {
    "resolution": 0, "subject": "", "batch_size": 0, "precision": "fp99", "phase": None, "device": "tpu", "threads": -1,
    "new_axis": 1, "length": 4, "compile": "perhaps", "args": "{", "memory_format": 3,
}  # fmt: skip
METRICS: dict[str, Any] = {
    "latency_ms": "fast", "params": "x", "gmacs": [1], "new_metric": 1, "samples": 1.5, "peak_memory_mib": {},
}  # fmt: skip
IMPOSSIBLE = {"latency_ms": (-1.0, 0.0, 1e300), "throughput_per_s": (0.0, -5.0)}
SAMPLES = {
    "binary": bytes(range(256)),
    "cut off": b"quantity,process,index,value\nlatency_ms,0,0,1.0\nlatency_ms,0\n",
    "other columns": b"a,b\n1,2\n",
    **{
        f"value {value}": f"quantity,process,index,value\nlatency_ms,0,0,{value}\n".encode()
        for value in ("nan", "inf", "-1", "0", "x", "")
    },
    **{
        f"process {process}": f"quantity,process,index,value\nlatency_ms,{process},0,1\n".encode()
        for process in ("-1", "99999999999", "x", "1.5")
    },
}
Damage = Callable[[Path], None]


def info(**changes: Any) -> Damage:
    """A run.json with other values; None takes a key away."""

    def damage(run: Path) -> None:
        content = json.loads((run / "run.json").read_text()) | changes
        (run / "run.json").write_text(json.dumps({key: value for key, value in content.items() if value is not None}))

    return damage


def written(name: str, content: bytes) -> Damage:
    return lambda run: (run / name).write_bytes(content) and None


def record(inside: str, **changes: Any) -> Damage:
    """A first record with other values."""

    def damage(run: Path) -> None:
        first, *others = (run / "journal.jsonl").read_text().splitlines()
        content = json.loads(first)
        (content[inside] if inside else content).update(changes)
        (run / "journal.jsonl").write_text("\n".join([json.dumps(content), *others]) + "\n")

    return damage


def middle(change: Callable[[str], str]) -> Damage:
    """A journal whose second line is another."""

    def damage(run: Path) -> None:
        lines = (run / "journal.jsonl").read_text().splitlines()
        (run / "journal.jsonl").write_text("\n".join([lines[0], change(lines[1]), *lines[2:]]) + "\n")

    return damage


def replaced_by_folder(name: str) -> Damage:
    def damage(run: Path) -> None:
        (run / name).unlink()
        (run / name).mkdir()

    return damage


DAMAGES: dict[str, Damage] = {
    "no run.json": lambda run: (run / "run.json").unlink(),
    "no journal": lambda run: (run / "journal.jsonl").unlink(),
    "a folder run.json": replaced_by_folder("run.json"),
    "a folder journal.jsonl": replaced_by_folder("journal.jsonl"),
    **{
        f"run.json {content[:9]!r}": written("run.json", content)
        for content in (
            b"",
            b"[]",
            b"null",
            b'"x"',
            b"3",
            b'{"suite":',
            b"[" * 50_000,
            b"\xff\xfe",
            bytes(range(256)),
            b"{}",
        )
    },
    "of another tool": written("run.json", b'{"model": "x", "epochs": 3}'),
    **{f"run.json {key} is {value!r}": info(**{key: value}) for key, value in INFO.items()},
    **{f"run.json lacks {key}": info(**{key: None}) for key in ("device_name", "protocol")},
    **{f"environment {key} is {value!r}": info(environment={key: value}) for key, value in ENVIRONMENT.items()},
    **{f"record {key} is {value!r}": record("", **{key: value}) for key, value in RECORD.items()},
    **{f"case {key} is {value!r}": record("case", **{key: value}) for key, value in CASE.items()},
    **{f"metric {key} is {value!r}": record("metrics", **{key: value}) for key, value in METRICS.items()},
    **{f"{key} {value}": record("metrics", **{key: value}) for key, values in IMPOSSIBLE.items() for value in values},
    "a line cut off in the middle": middle(lambda line: line[:200]),
    "an empty line": middle(lambda line: ""),
    "a line of another format": middle(lambda line: "latency_ms,3.5"),
    "a list": middle(lambda line: "[]"),
    "nested": middle(lambda line: "[" * 5000),
    "not a number": middle(lambda line: line.replace('"latency_ms":', '"latency_ms":NaN,"x":', 1)),
    "binary": written("journal.jsonl", bytes(range(256)) + b"\n"),
}


def bad(here: Path, damage: Damage) -> None:
    shutil.copytree("good", "bad")
    damage(Path("bad"))


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_run_is_refused_by_whoever_reads_it(here: Path, name: str) -> None:
    bad(here, DAMAGES[name])
    turn = list(DAMAGES).index(name) % len(READERS)  # each command has its turn, one has them all
    for words in (READERS["scaling"], list(READERS.values())[turn]):
        if words[0] == "scaling" and not Path("bad", "run.json").is_file():
            words = ("scaling", "bad", "nothing*")
        assert "bad" in refused(*words)


@pytest.mark.parametrize("damage", list(DAMAGES.values())[:30], ids=list(DAMAGES)[:30])
def test_a_damaged_run_is_not_continued(here: Path, damage: Damage) -> None:
    bad(here, damage)
    assert "bad" in refused("run", "--resume", "bad", "--plan")


@pytest.mark.parametrize("content", SAMPLES.values(), ids=SAMPLES)
def test_damaged_samples_are_refused_where_they_are_read(here: Path, content: bytes) -> None:
    shutil.copytree("good", "bad")
    for file in Path("bad", "samples").iterdir():
        file.write_bytes(content)
    for reader in ("compare", "gate"):
        assert re.search("samples.* is (damaged: |not UTF-8 text: )", refused(*READERS[reader]))


DUELS: dict[str, Any] = {
    "base": 3, "head": {"case": {"subject": ""}}, "result": "x", "device_name": None,
}  # fmt: skip
RATIOS = [{"ratio": ratio, "low": low, "high": high, "pairs": 1} for ratio, low, high in (
    ("x", 1, 1), (0, 0, 0), (-1, -1, -1), (float("nan"), 1, 1), (1, 2, 3), (1, 1, float("inf")),
)]  # fmt: skip


@pytest.mark.parametrize(
    "changes", [*({key: value} for key, value in DUELS.items()), *({"result": one} for one in RATIOS)]
)
def test_a_damaged_duel_is_refused(here: Path, changes: dict[str, Any]) -> None:
    content = json.loads(Path("fight", "duel.json").read_text()) | changes
    content = {key: value for key, value in content.items() if value is not None}
    Path("bad").mkdir()
    Path("bad", "duel.json").write_text(json.dumps(content))
    assert "duel.json is damaged: " in refused("claims", "--claim", "vig-t-speed-1024", "--suite-run", "bad")


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b'{"format": 1}', b'{"format": 99, "settings": {}}', b"[" * 50_000, bytes(range(256))],
)
def test_a_damaged_evaluation_is_refused(here: Path, content: bytes) -> None:
    Path("bad").mkdir()
    Path("bad", "accuracy.json").write_bytes(content)
    assert "accuracy.json" in refused("claims", "--claim", "vig-s-accuracy", "--suite-run", "bad")


def test_there_are_many() -> None:
    assert len(DAMAGES) + len(SAMPLES) + len(DUELS) + len(RATIOS) >= 90


@given(st.data())
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@pytest.mark.parametrize("name", ["run.json", "journal.jsonl"])
def test_any_bytes_in_any_place_are_read_or_refused(here: Path, name: str, data: st.DataObject) -> None:
    text = Path("good", name).read_bytes()
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 30)))
    shutil.rmtree("bad", ignore_errors=True)
    shutil.copytree("good", "bad")
    Path("bad", name).write_bytes(
        text[:start] + data.draw(st.binary(max_size=6) | st.sampled_from([b"null", b"[]"])) + text[end:]
    )
    if outcome(*READERS["scaling"])[0] != 0:
        refused(*READERS["scaling"])
