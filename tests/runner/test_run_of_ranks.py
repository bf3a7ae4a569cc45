"""A run over several ranks: one record for each case, whatever becomes of a rank."""

from pathlib import Path

import pytest
import torch.distributed as dist

from tests.worker.rank_subjects import SOURCE
from vigbench.records.load import load_results
from vigbench.records.schema import Status
from vigbench.report.of_runs import write_report
from vigbench.runner.run import plan_suite, run
from vigbench.suites.planner import Overrides

pytestmark = pytest.mark.skipif(not dist.is_available(), reason="this torch has no torch.distributed")


@pytest.mark.slow
def test_a_run_goes_on_after_a_rank_has_died(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pids").mkdir()
    (tmp_path / "cut_over_ranks.py").write_text(SOURCE.replace("PID_FOLDER", str(tmp_path / "pids")))
    monkeypatch.syspath_prepend(str(tmp_path))
    names = ["cut_over_ranks:is_killed", "cut_over_ranks:fine"]
    overrides = Overrides(subject=names, resolution=[32], ranks=[1, 2], threads=1, budget=60.0)
    store = run(None, tmp_path / "runs", "cpu", overrides=overrides).store
    found = {(record.case.subject, record.case.ranks): record for record in store.records()}
    dead = found.pop((names[0], 2))
    assert dead.status is Status.crashed
    assert "Rank 1 of 2 was killed by SIGKILL" in dead.reason
    assert {record.status for record in found.values()} == {Status.ok}
    frame = load_results(store.folder)
    assert set(frame[frame["ranks"] == 2]["exchange"]) == {"all_gather"}
    assert frame[frame["ranks"] == 1]["exchange"].isna().all()
    page = write_report(store.folder).read_text(encoding="utf-8")
    assert "no claim about a network between machines" in page


def test_one_rank_has_no_exchange_so_that_it_is_planned_once() -> None:
    cases = plan_suite("sequence-parallel", "cpu", Overrides(length=[1024], phase=["inference"], subject=["gla"])).cases
    assert [(case.ranks, case.exchange) for case in cases] == [
        (1, None),
        (2, "all_gather"),
        (2, "ring"),
        (4, "all_gather"),
        (4, "ring"),
    ]
