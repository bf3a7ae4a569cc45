"""What claims still need on this machine."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.analysis.claims.conftest import frame
from vigbench.analysis.claims import load_claims
from vigbench.analysis.claims.evidence import on_each_device, rows_of
from vigbench.analysis.claims.schema import Quantity
from vigbench.measure.environment import device_name
from vigbench.ops.registry import UnsupportedError
from vigbench.records.duel import Duel
from vigbench.runner.claims import ClaimsProgress, count_claimed_models, measure_claims, missing
from vigbench.runner.duel import Contestant, ContestantFailedError
from vigbench.runner.run import plan_suite
from vigbench.subjects.catalog import resolve_implementations
from vigbench.suites.axes import Device
from vigbench.suites.case import Case

CLAIMS = {one.id: one for one in load_claims()}
SPEED = CLAIMS["vig-figure-speed-224"]
HERE = device_name(Device.cpu, 1)


def test_a_claim_about_speed_needs_a_duel_with_each_other_side() -> None:
    found = list(missing([SPEED], [], Device.cpu, threads=1))
    assert [(one.is_duel, one.theirs.implementation) for one in found] == [(True, "eager"), (True, "sdpa")]
    for one in found:
        assert one.ours.subject == "vig_tiny_patch16_224"
        assert one.ours.resolution == one.theirs.resolution == 224
        assert (one.ours.batch_size, one.ours.device, one.ours.threads) == (1, "cpu", 1)
        assert one.estimated_s() > 0


def test_what_is_known_on_this_device_is_not_measured_again() -> None:
    first, second = missing([SPEED], [], Device.cpu, threads=1)
    known = Duel("d", first.ours, first.theirs, HERE, 1.0, 0.9, 1.1, 6)
    assert list(missing([SPEED], on_each_device([], [known]), Device.cpu, threads=1)) == [second]
    elsewhere = Duel("d", first.ours, first.theirs, "another CPU", 1.0, 0.9, 1.1, 6)
    assert len(list(missing([SPEED], on_each_device([], [elsewhere]), Device.cpu, threads=1))) == 2


def test_each_comparison_is_named_once_and_counts_need_none() -> None:
    both = [CLAIMS["vig-t-memory-1024"], CLAIMS["vig-figure-memory-ratio"], CLAIMS["vig-t-flops-1024"]]
    found = list(missing(both, [], Device.cpu))
    assert len({(one.ours, one.theirs) for one in found}) == len(found) == 4
    assert {one.ours.resolution for one in found} == {512, 1024}
    assert not any(one.is_duel for one in found)


def test_a_comparison_of_memory_is_a_run_of_its_two_cases() -> None:
    for one in missing([CLAIMS["vig-t-memory-1024"], CLAIMS["vig-kernel-memory"]], [], Device.cuda):
        planned = plan_suite(None, "cuda", one.overrides(60.0))
        assert {one.ours, one.theirs} <= set(planned.cases)
        assert planned.budget_s == 60.0


def test_what_ranks_send_is_counted_on_the_cpu_whatever_is_measured_elsewhere() -> None:
    volume = CLAIMS["lasp2-volume"]
    for device in (Device.cpu, Device.cuda):
        (found,) = missing([volume], [], device)
        assert not found.is_duel
        assert [(one.device, one.ranks, one.exchange) for one in (found.ours, found.theirs)] == [
            ("cpu", 4, "all_gather"),
            ("cpu", 4, "ring"),
        ]
        planned = plan_suite(None, "cpu", found.overrides(60.0))
        assert set(planned.cases) == {found.ours, found.theirs}
        numbers = frame(*((one, {"latency_ms": 1.0, "sent_mib_per_rank": 1.0}) for one in (found.ours, found.theirs)))
        assert list(missing([volume], on_each_device(rows_of(numbers), ()), device)) == []


def test_what_vigbench_lacks_is_neither_measured_nor_counted() -> None:
    lacking = [one for one in CLAIMS.values() if one.lacks]
    assert lacking
    assert list(missing(lacking, [], Device.cpu)) == []
    counted = [one.model_copy(update={"quantity": Quantity.gmacs}) for one in lacking]
    assert count_claimed_models(counted) == {}


def test_a_model_of_a_package_that_is_not_installed_is_neither_measured_nor_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def resolve(name: str, *given: Any) -> list[str]:
        if name.startswith("deit"):
            raise UnsupportedError("its package is not installed")
        return resolve_implementations(name, *given)

    monkeypatch.setattr("vigbench.runner.claims.resolve_implementations", resolve)
    assert count_claimed_models([CLAIMS["vig-t-flops-1024"]]).keys() == {("vig_tiny_patch16_224", 1024)}
    assert list(missing([SPEED], [], Device.cpu)) == []
    vim = missing([SPEED, CLAIMS["vig-figure-vim-speed"]], [], Device.cpu)
    assert {one.theirs.subject for one in vim} == {"vim_tiny_patch16_224"}


@pytest.mark.parametrize("name", ["vig-t-flops-1024", "vig-s-parameters"])
def test_models_are_counted_without_a_run(name: str) -> None:
    counts = count_claimed_models([CLAIMS[name], SPEED])
    sides = {CLAIMS[name].ours.subject, CLAIMS[name].theirs.subject}  # type: ignore[union-attr]
    assert {subject for subject, _ in counts} == sides
    known = {
        ("vig_tiny_patch16_224", 1024): 24.995,
        ("deit_tiny_patch16_224", 1024): 99.70,
        ("vig_small_patch16_224", 224): 4.539,
        ("deit_base_patch16_224", 224): 17.56,
    }
    for key, numbers in counts.items():
        assert numbers["gmacs"] == pytest.approx(known[key], rel=2e-3)
        assert numbers["params"] > 5e6


def test_what_the_budget_does_not_allow_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Listener(ClaimsProgress):
        said: ClassVar[list[object]] = []

        def comparisons_found(self, count: int, out: Path) -> None:
            self.said += [count, out]

        def budget_spent(self, left_out: int, left_s: float, next_s: float) -> None:
            self.said += [left_out, left_s < next_s]

    done = measure_claims(
        ["vig-t-memory-1024"], out=tmp_path, device="cpu", threads=1, budget_s=0.001, progress=Listener()
    )
    assert done
    assert Listener.said == [2, tmp_path, 2, True]
    assert capsys.readouterr() == ("", "")


def test_runs_are_measured_until_one_is_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    def start(_: None, **given: Any) -> tuple[str, str]:
        started.append(given["overrides"])
        return "store", "plan"

    monkeypatch.setattr("vigbench.runner.claims.start_run", start)
    measure = partial(measure_claims, ["vig-t-memory-1024"], out=tmp_path, device="cpu", threads=1, budget_s=1e6)
    assert measure(measure=lambda store, planned: (store, planned) == ("store", "plan"))
    assert len(started) == 2
    assert not measure(measure=lambda *_: False)
    assert len(started) == 3
    with pytest.raises(ValueError, match="no claim is called 'nothing'"):
        measure_claims(["nothing"], out=tmp_path)


def test_a_contestant_that_fails_does_not_keep_the_next_from_being_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = []

    def fail(base: Case, *_: Case, **__: object) -> None:
        raise ContestantFailedError(Contestant(base), "crashed")

    monkeypatch.setattr("vigbench.runner.claims.duel", fail)
    listener = ClaimsProgress()
    monkeypatch.setattr(listener, "contestant_failed", failed.append)
    given = {"out": tmp_path, "device": "cpu", "threads": 1, "budget_s": 1e6}
    assert measure_claims(["vig-figure-speed-224"], **given, progress=listener)  # type: ignore[arg-type]
    assert len(failed) == 2
