"""The command under a claim plans exactly the cases that the claim needs."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from tests.analysis.claims.conftest import require_models
from vigbench.analysis.claims import load_claims
from vigbench.analysis.claims.commands import command
from vigbench.runner.run import plan_suite
from vigbench.suites.planner import Overrides

POINTS = [(one, point) for one in load_claims() for point in one.points if not one.lacks]
RUNS = [pair for pair in POINTS if pair[0].quantity in ("peak_memory_mib", "sent_mib_per_rank")]


def options(words: list[str]) -> dict[str, str]:
    return dict(zip(words[::2], words[1::2], strict=True))


@pytest.mark.parametrize(("one", "point"), POINTS, ids=lambda value: getattr(value, "id", None))
def test_it_names_both_sides_the_size_and_the_setting(one: Any, point: Any) -> None:
    words = shlex.split(command(one, point).split(" && ")[0])
    assert words[0] == "vigbench"
    if one.quantity.is_of_model:
        assert words[1:] == ["claims", "--claim", one.id]
        return
    found = options(words[4:] if words[1] == "duel" else words[2:])
    sizes = found["--resolution" if point.resolution else "--length"]
    # one evaluation is for all resolutions of a claim
    assert sizes == (str(point.extent) if one.quantity.needs_run else ",".join(str(p.extent) for p in one.points))
    if one.quantity.needs_run:
        assert (found["--batch-size"], found["--precision"]) == (str(one.batch_size_at(point)), one.precision)
        assert found.get("--device") == ("cuda" if one.quantity.needs_gpu else None)
        assert found.get("--phase", "inference") == one.phase
        assert found.get("--ranks", "1") == str(one.ranks)
        assert found.get("--shape") == (str(one.shape_at(point)) if point.length else None)
    if words[1] == "duel":
        assert words[2:4] == [one.ours.name, one.theirs.name]


@pytest.mark.parametrize(("one", "point"), RUNS, ids=lambda value: getattr(value, "id", None))
def test_a_run_plans_both_sides_and_nothing_else(one: Any, point: Any) -> None:
    require_models(one)
    found = options(shlex.split(command(one, point))[2:])
    planned = plan_suite(
        None,
        found.get("--device", "cpu"),
        Overrides(
            subject=found["--subject"].split(","),
            implementation=found["--implementation"].split(","),
            resolution=[point.resolution] if point.resolution else None,
            length=[point.length] if point.length else None,
            shape=[found["--shape"]] if point.length else None,
            batch_size=[int(found["--batch-size"])],
            precision=[found["--precision"]],
            phase=[found.get("--phase", "inference")],
            ranks=[int(found.get("--ranks", "1"))],
            exchange=found["--exchange"].split(",") if "--exchange" in found else None,
        ),
    )
    assert {case.subject for case in planned.cases} == {one.ours.subject, one.theirs.subject}
    for side in (one.ours, one.theirs):
        if side.implementation:
            assert any(
                (case.subject, case.implementation) == (side.subject, side.implementation) for case in planned.cases
            )
    assert {(case.extent, case.phase) for case in planned.cases} == {(point.extent, one.phase)}
    assert {(case.ranks, case.exchange) for case in planned.cases} == {
        (one.ranks, side.exchange) for side in (one.ours, one.theirs)
    }


def test_what_vigbench_lacks_has_no_command() -> None:
    lacking = [one for one in load_claims() if one.lacks]
    assert {command(one, point) for one in lacking for point in one.points} == {""}
