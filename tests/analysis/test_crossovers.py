"""Crossovers of curves whose laws are known."""

import pandas as pd
import pytest

from tests.analysis.growing import LAWS, Law, frame, sweep
from vigbench.analysis.crossovers import crossovers
from vigbench.analysis.curves import extent_of


def test_the_crossover_is_where_the_laws_meet() -> None:
    found = crossovers(frame(sweep(LAWS, range(224, 1025, 32)))).set_index(["a", "b"])
    truth = extent_of("resolution", (9 / 2e-5) ** 0.5)
    row = found.loc["vig", "deit"]
    assert row["kind"] == "measured"
    assert row["crossing"] == pytest.approx(truth, rel=0.01)
    assert row["low"] < truth < row["high"]
    assert row["sentence"].startswith(f"vig takes less time than deit from {row['crossing']:.0f} px (")
    assert found.loc["deit", "vig"]["kind"] == "never"
    assert (row["smallest"], row["largest"]) == (224, 1024)


@pytest.mark.parametrize(
    ("a", "b", "pairs"),
    [
        (None, None, 6),
        ("vig", None, 2),
        ("vig", "deit", 2),
        ("vig", "deit@sdpa", 1),
        ("*", "deit@*", 4),
        ("vig", "d*", 2),
    ],
)
def test_sides_are_subjects_implementations_or_globs(a: str | None, b: str | None, pairs: int) -> None:
    rows = sweep({"vig": LAWS["vig"]})
    rows += [one for name in ("sdpa", "eager") for one in sweep({"deit": LAWS["deit"]}, implementation=name)]
    assert len(crossovers(frame(rows), a=a, b=b)) == pairs


def test_sentences_of_every_kind() -> None:
    def sentence(one: Law, two: Law) -> str:
        return str(crossovers(frame(sweep({"one": one, "two": two})), a="one")["sentence"][0])

    assert (
        sentence(lambda n: n, lambda n: 2 * n)
        == "one takes less time than two at every size measured (224 to 1024 px)."
    )
    assert sentence(lambda n: n, lambda n: n) == "one and two are level within the noise (224 to 1024 px)."
    assert sentence(lambda n: 2 * n, lambda n: n) == (
        "No size is found from which one takes less time than two on (224 to 1024 px)."
    )
    start = sentence(lambda n: n, lambda n: n * (1 if n < 200 else 2))
    assert "at every size measured" not in start or "beyond the noise from" in start
    rows = [
        row
        for name, law in {"one": (5, 0.1, 0), "two": (5, 0.02, 1e-5)}.items()
        for row in sweep({name: lambda n, law=law: law[0] + law[1] * n + law[2] * n * n}, processes=9)
    ]
    beyond = crossovers(frame(rows), a="one")
    assert beyond["kind"][0] == "extrapolated"
    assert beyond["crossing"][0] == pytest.approx(16 * 8000**0.5)
    assert beyond["sentence"][0].startswith(
        "By the fitted laws, not measured beyond 1024 px: one takes less time than two from 1431 px ("
    )


def disturbed(*sizes: int) -> pd.DataFrame:
    of = frame(sweep(LAWS))
    return of.assign(marks=of["marks"].mask(of["resolution"].isin(sizes), "contended"))


def test_disturbed_sizes_carry_no_crossover_and_are_named() -> None:
    row = crossovers(disturbed(512), a="vig").iloc[0]
    assert (row["kind"], row["disturbed"]) == ("measured", "512")
    assert row["sentence"].endswith(" on; left out as disturbed: 512 px.")
    always = crossovers(
        frame(sweep({"one": lambda n: n, "two": lambda n: 2 * n})).assign(marks=disturbed(224)["marks"])
    )
    assert always["sentence"][0] == (
        "one takes less time than two at every undisturbed size (384 to 1024 px); left out as disturbed: 224 px."
    )


@pytest.mark.parametrize("sizes", [(224, 384, 512, 768), (224, 384, 512, 768, 1024)])
def test_too_few_undisturbed_sizes_cannot_tell(sizes: tuple[int, ...]) -> None:
    found = crossovers(disturbed(*sizes), a="vig").iloc[0]
    assert found["kind"] == "unknown"
    assert pd.isna(found["crossing"])
    assert found["sentence"] == (
        f"Whether vig takes less time than deit cannot be told: {len(sizes)} of 5 sizes left out as disturbed."
    )


def test_memory_crosses_where_it_did() -> None:
    calm, busy = (crossovers(of, "peak_memory_mib") for of in (disturbed(), disturbed(*range(224, 1025))))
    pd.testing.assert_frame_equal(calm, busy)
