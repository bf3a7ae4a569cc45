"""Options that hold what they cannot mean."""

from pathlib import Path

import pytest

from tests.bad_inputs.refused import LONG, refused

MODEL = ("plan", "--device", "cpu", "--subject", "resnet18")
OPERATOR = ("plan", "--device", "cpu", "--subject", "gla", "--length", "64", "--shape", "1x2x2")
DUEL = ("duel", "resnet18", "resnet18", "--device", "cpu")
PROFILE = ("profile", "--subject", "resnet18", "--device", "cpu", "--out", "o")
GATE = ("gate", "--baseline", "good", "--head", "good")
COMPARE = ("compare", "good", "good")

NUMBERS = ("", "x", "-1", "0", "1.5", "nan", "inf", "1e3", "٣٣", "²", "9" * 30, "1_0", "0x10", "1,,2", "64,", LONG)
COUNTS = ("", "x", "-1", "1.5", "nan", "9" * 30)
TIMES = ("", "0", "-3m", "nan", "inf", "1:30", "1h30", "soon", "9" * 400, "٣m", "1_0s", LONG)
SHARES = ("", "x", "0", "-3%", "100%", "nan", "inf", "1_0%", "٣%", LONG)

WRONG = [
    *((*MODEL, "--resolution", value) for value in (*NUMBERS, "224x", "1x2x3", "064")),
    *((*MODEL, "--batch-size", value) for value in NUMBERS),
    *((*MODEL, f"--{name}", value) for name in ("threads", "processes") for value in COUNTS),
    *((*MODEL, f"--{name}", value) for name in ("budget", "case-timeout") for value in TIMES),
    *(
        (*MODEL, f"--{name}", value)
        for name in ("precision", "phase", "compile", "cuda-graph", "memory-format", "tf32")
        for value in ("", "maybe", "true,", "1", LONG)
    ),
    *((*MODEL, "--implementation", value) for value in ("", "nope", "auto,", "*x")),
    *((*MODEL[:3], "--subject", value) for value in ("", "resnet18,", "re*", "a:b", ":", "a:", "math:pi", "[", LONG)),
    *(("plan", "--subject", "resnet18", "--device", value) for value in ("", "tpu", "CPU", "cuda:0")),
    *((*OPERATOR, "--shape", value) for value in ("", "3x32", "0x1x1", "1x2x2,", "٣x1x1", "1x2x2@", "1x2x2@0")),
    *((*OPERATOR, "--length", value) for value in ("", "0", "64,", "1e3")),
    ("run",),
    ("run", "--memory-limit", "8GiB"),
    *(("run", "--subject", "a", "--max-batch", "--memory-limit", value) for value in ("", "8", "x", "0GiB", LONG)),
    *(("run", "--resume", value) for value in ("", "nope", "afile", "adir", "fight", LONG)),
    ("run", "--resume", "good", "--suite", "smoke"),
    *((*COMPARE, "--margin", value) for value in SHARES),
    *((*COMPARE, "--metric", value) for value in ("", "x", "params")),
    *((*COMPARE, "--across", value) for value in ("x", "torch,", ",")),
    *((*COMPARE, "--format", value) for value in ("", "xml", "JSON")),
    *((*COMPARE, "--out", value) for value in ("adir", "nope/x", "afile/x", LONG)),
    *(("compare", value, "good") for value in ("", "nope", "[", "a*", "adir", "fight", LONG)),
    *((*GATE, "--margin", value) for value in ("x", "nan")),
    *((*GATE, "--markdown", value) for value in ("adir", "nope/x")),
    *(("gate", "--baseline", value, "--head", "good") for value in ("", "nope", "adir", "fight")),
    *((*DUEL, "--processes", value) for value in ("0", "-1", "x", "")),
    *((*DUEL, "--blocks", value) for value in ("1", "x")),
    *((*DUEL, "--over", value) for value in ("", "0", "1:30", "nan")),
    *((*DUEL, "--margin", value) for value in ("x", "0")),
    *((*DUEL, "--base-python", value) for value in ("nope", "adir", "afile")),
    *((*DUEL, *words) for words in (("--resolution", "224,512"), ("--length", "4"), ("--precision", "fp32,bf16"))),
    *(("duel", value, "resnet18", "--device", "cpu") for value in ("", "nope", "@", "resnet18@sdpa", "gla", LONG)),
    ("duel", "resnet18"),
    *((*PROFILE, "--iterations", value) for value in ("0", "101", "x")),
    *((*PROFILE, "--threads", value) for value in ("-1", "99999")),
    *((*PROFILE, "--resolution", value) for value in ("", "0", "64,32")),
    *((*PROFILE, *words) for words in (("--implementation", "nope"), ("--device", "tpu"), ("--length", "3"))),
    *(("profile", "--device", "cpu", "--out", "o", "--subject", value) for value in ("", "nope", "a:b", "vig*")),
    *(("scaling", "good", "--memory", value) for value in ("", "8", "x", "0GiB", "nanGiB", LONG)),
    *(("scaling", "good", "--metric", value) for value in ("", "x", "throughput_per_s")),
    *(("scaling", "good", "--against", value) for value in ("", "nope", "[")),
    *(("scaling", value) for value in ("", "nope", "a*", "adir", LONG)),
    *(("report", value, "--out", "o") for value in ("", "nope", "nope*", "afile", "adir", "fight", LONG)),
    *(("report", "good", *words) for words in (("--out", "afile"), ("--base", "nope"), ("--evidence", "nope"))),
    ("report", "good", "--across", "torch"),
    *(("claims", "--claim", value) for value in ("", "nope", ",", "vig*,", "[", LONG)),
    *(("claims", "--claim", "vig-s-parameters", "--suite-run", value) for value in ("", "nope", "adir", LONG)),
    *(("claims", *words) for words in (("--out", "o"), ("--budget", "1:30"), ("--threads", "-1"), ("--format", "xml"))),
    ("claims", "--measure", "--device", "tpu", "--out", "o"),
    *(("check", "--operator", value) for value in ("", "nope", "gla,")),
    *(("check", *words) for words in (("--precision", "x"), ("--device", "tpu"), ("--jobs", "-1"))),
    ("check", "--format", "xml"),
    *(("tune", *words) for words in (("--shape", "x"), ("--length", "4,"), ("--pass", "x"), ("--batch-size", "0"))),
    ("doctor", "--noise", "--threads", "x"),
    ("list", "nothing"),
    ("list", "subjects", "zzzz*"),
    ("list", "suites", "["),
    ("nothing",),
    ("plan", "--nothing"),
    ("plan", "--suite"),
]  # fmt: skip


def _name(words: tuple[str, ...]) -> str:
    return " ".join(word[:20] for word in words)


@pytest.mark.parametrize("words", WRONG, ids=map(_name, WRONG))
def test_a_wrong_option_is_one_line(here: Path, words: tuple[str, ...]) -> None:
    refused(*words)


def test_there_are_many_and_each_is_another() -> None:
    assert len(set(WRONG)) == len(WRONG) >= 250
    assert {words[0] for words in WRONG} >= {
        "run",
        "plan",
        "compare",
        "duel",
        "gate",
        "claims",
        "scaling",
        "profile",
        "report",
        "list",
        "doctor",
        "tune",
        "check",
    }


@pytest.mark.parametrize(
    ("words", "option", "kind"),
    [
        (("plan", "--suite", "smoke"), "--subject", "name"),
        (("plan", "--suite", "smoke"), "--implementation", "name"),
        *(((*MODEL,), f"--{axis}", "value") for axis in ("resolution", "batch-size", "precision", "phase", "compile")),
        *(((*MODEL,), f"--{axis}", "value") for axis in ("cuda-graph", "memory-format", "tf32")),
        *(((*OPERATOR,), f"--{axis}", "value") for axis in ("shape", "length")),
        ((*COMPARE,), "--across", "name"),
        ((*GATE,), "--across", "name"),
        (("report", "good", "--base", "good"), "--across", "name"),
        (("claims",), "--claim", "name"),
        *((("check",), option, "name") for option in ("--operator", "--implementation", "--precision")),
        *((("tune",), option, "value") for option in ("--shape", "--length", "--precision", "--pass")),
        (("evaluate", "--subject", "a", "--checkpoint", "b", "--data", "c"), "--resolution", "value"),
    ],
)
@pytest.mark.parametrize("text", ["x,", ",x", "x,,x", ","])
def test_a_comma_too_many_is_said_of_every_list(
    here: Path, words: tuple[str, ...], option: str, kind: str, text: str
) -> None:
    said = refused(*words, option, text.replace("x", _valid(option)))
    assert said == f"{option}: a {kind} is empty; write {kind}s with single commas between them."


def _valid(option: str) -> str:
    known = {"--resolution": "64", "--batch-size": "1", "--precision": "float32", "--phase": "inference"}
    known |= {"--compile": "true", "--cuda-graph": "true", "--tf32": "true", "--memory-format": "contiguous"}
    return (known | {"--shape": "1x2x2", "--length": "4", "--pass": "forward"}).get(option, "vig*")
