"""A case over several ranks: what it records, and every way in which a rank can fail, injected for real."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch.distributed as dist

from tests.processes import is_running
from tests.worker.rank_subjects import SOURCE
from vigbench.records.schema import Status
from vigbench.runner.process import Worker, run_in_worker
from vigbench.suites.case import Case
from vigbench.worker.messages import Job, Outcome, StageReport
from vigbench.worker.ranks import Ended, is_broken_exchange, outcome_of_ranks

pytestmark = pytest.mark.skipif(not dist.is_available(), reason="this torch has no torch.distributed")
WITHIN_S = 30.0
Measure = Callable[..., Outcome]


def case(**settings: Any) -> Case:
    usual = {"subject": "gla", "implementation": "torch_chunk", "length": 66, "heads": 1, "key_dim": 4, "value_dim": 8}
    return Case.model_validate({**usual, "threads": 1, "ranks": 2, **settings})


def run(one: Case, timeout_s: float = 300, **job: Any) -> Outcome:
    return run_in_worker(Job(case=one, budget_s=0.2, **job), timeout_s=timeout_s, on_stage=lambda stage: None)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on sys.path with the module `cut_over_ranks`, whose ranks leave their process numbers in `pids`."""
    (tmp_path / "pids").mkdir()
    (tmp_path / "cut_over_ranks.py").write_text(SOURCE.replace("PID_FOLDER", str(tmp_path / "pids")))
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def own(name: str, ranks: int = 2) -> Case:
    return Case(subject=f"cut_over_ranks:{name}", resolution=32, threads=1, ranks=ranks)


def expect_no_rank(folder: Path) -> None:
    pids = [int(file.name) for file in (folder / "pids").iterdir()]
    assert pids, "no rank has run"
    deadline = time.monotonic() + WITHIN_S
    while any(map(is_running, pids)):
        assert time.monotonic() < deadline, "a rank lives on"
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("settings", "sent"),
    [
        # bytes: 2 directions, float32; gathered once (K (V + 1)), and in the backward pass the states' gradients
        ({"exchange": "all_gather"}, 2 * 4 * 9 * 4),
        ({"exchange": "ring", "phase": "training", "ranks": 3}, 2 * 2 * 4 * 8 * 4),
    ],
)
def test_a_case_of_several_ranks_is_checked_timed_and_its_traffic_counted(settings: dict[str, Any], sent: int) -> None:
    one = case(**settings)
    outcome = run(one)
    found = outcome.metrics
    assert (outcome.status, outcome.reason) == (Status.ok, "")
    assert found.latency_ms is not None
    assert found.throughput_per_s == pytest.approx(1e3 / found.latency_ms)
    assert (found.samples or 0) >= 5
    assert found.sent_mib_per_rank == pytest.approx(sent / 2**20)
    assert (found.exchanges or 0) >= 1
    assert found.output_error is not None
    assert found.output_error <= 2e-6
    assert (found.gradient_error is not None) == one.phase.trains
    assert found.gate_length == 66
    assert found.rank_threads == 1
    assert (found.peak_memory_mib or 0) > (found.inputs_mib or 0) > 0
    assert found.executed_gmacs is None
    assert outcome.operators["vigbench::gla_torch_chunk"] == 1, "rank 0 runs what the label says"


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["inference", "training"])
def test_a_whole_vig_is_cut_at_rows(phase: str) -> None:
    vig = {"subject": "vig_tiny_patch16_224", "implementation": "torch_chunk", "resolution": 96, "phase": phase}
    outcome = run(Case.model_validate({**vig, "threads": 1, "ranks": 3, "exchange": "ring"}))
    assert outcome.status == Status.ok, outcome.reason
    found = outcome.metrics
    assert found.gate_resolution == 96
    assert found.output_error is not None
    assert (found.gradient_error is not None) == (phase == "training")
    assert (found.sent_mib_per_rank or 0) > 0
    assert found.formula_mib_per_rank is None, "formulas are those of an operator"
    assert outcome.operators["vigbench::gla_torch_chunk"] == 12, "a layer each"


@pytest.mark.parametrize(
    ("name", "status", "reason"),
    [
        ("fails", "error", "Rank 1 of 2: ZeroDivisionError: of rank 1"),
        ("exits", "crashed", "Rank 1 of 2 ended with exit code 7 before it had a result."),
        pytest.param(
            "leaves", "crashed", "1 of 2 ended with exit code 0 before it had a result.", marks=pytest.mark.slow
        ),
        ("is_killed", "crashed", "Rank 1 of 2 was killed by SIGKILL. Often that is the kernel's out-of-memory killer"),
        ("is_killed_later", "crashed", "Rank 1 of 2 was killed by SIGKILL."),
        ("is_wrong", "wrong_result", "of 2: The output with default differs from the result of one process by"),
        ("is_nan", "wrong_result", "NaN"),
        ("is_not_cut", "unsupported", "is_not_cut is not cut over 2 ranks: Flatten cannot be cut at rows"),
    ],
)
def test_a_rank_that_fails_ends_the_case_with_its_reason(folder: Path, name: str, status: str, reason: str) -> None:
    begin = time.monotonic()
    outcome = run(own(name))
    assert time.monotonic() - begin < WITHIN_S
    assert reason in outcome.reason
    assert outcome.status == status
    assert outcome.metrics.latency_ms is None, "what failed is never timed"
    if name != "is_not_cut":
        expect_no_rank(folder)


def test_a_rank_without_memory_is_an_out_of_memory_record(folder: Path) -> None:
    outcome = run(own("runs_out"), memory_limit_mib=700)  # for each rank
    assert outcome.status == Status.out_of_memory
    assert outcome.reason.startswith("Rank 1 of 2: cpu memory was used up at batch 1, 32 px")
    expect_no_rank(folder)


@pytest.mark.slow
def test_a_rank_that_hangs_ends_at_the_case_s_limit_and_leaves_nothing(folder: Path) -> None:
    outcome = run(own("hangs"), timeout_s=8)
    assert outcome.status == Status.timeout
    expect_no_rank(folder)


def test_ranks_die_with_their_worker_however_it_ends(folder: Path) -> None:
    with Worker(Job(case=own("slow", ranks=3), budget_s=60)) as worker:
        deadline = time.monotonic() + 120
        while (message := worker.receive(deadline)) != StageReport(stage="timing"):
            assert isinstance(message, StageReport), message
        assert len([*(folder / "pids").iterdir()]) == 3
        os.kill(worker._pid, signal.SIGKILL)
        expect_no_rank(folder)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"subject": "attention", "implementation": "sdpa"}, "choose --implementation blockwise"),
        ({"subject": "gla_one_direction"}, "gla_one_direction is not cut over ranks"),
        ({"length": 3, "ranks": 4}, "3 tokens are fewer than 4 ranks"),
        ({"compile": True}, "without torch.compile"),
        ({"device": "cuda"}, "CUDA"),
    ],
)
def test_what_cannot_run_over_ranks_says_why(settings: dict[str, Any], reason: str) -> None:
    outcome = run(case(**settings))
    assert (outcome.status, reason in outcome.reason) == (Status.unsupported, True), outcome.reason


OK, FAILED = Outcome(status=Status.ok), Outcome(status=Status.error, reason="mine")
LOST = Outcome(status=Status.crashed, reason="It lost the others")


@pytest.mark.parametrize(
    ("ended", "first", "blamed"),
    [
        ([(LOST, 1), (None, -9), (None, -15)], 0, "Rank 1 of 3 was killed by SIGKILL"),
        ([(FAILED, 1), (None, -9), (None, -15)], 1, "Rank 1 of 3 was killed by SIGKILL"),
        ([(LOST, 1), (FAILED, 1), (LOST, 1)], 0, "Rank 1 of 3: mine"),
        ([(LOST, 1), (None, -15), (None, -15)], 0, "Rank 0 of 3: It lost the others"),
        ([(None, -15), (None, -15), (LOST, 1)], 0, "Rank 0 of 3 was killed by SIGTERM"),
    ],
)
def test_who_is_to_blame(ended: list[tuple[Outcome | None, int]], first: int, blamed: str) -> None:
    every = [Ended(rank, said, code) for rank, (said, code) in enumerate(ended)]
    assert outcome_of_ranks(case(ranks=3), every, first).reason.startswith(blamed)


def test_rank_0_speaks_for_all_that_went_well() -> None:
    assert outcome_of_ranks(case(), [Ended(0, OK, 0), Ended(1, OK, 0)], None) is OK


def test_an_exchange_that_broke_is_told_from_an_error_of_a_rank_s_own() -> None:
    assert is_broken_exchange(RuntimeError("[gloo/transport/tcp/pair.cc:534] Connection closed by peer"))
    assert not is_broken_exchange(RuntimeError("shapes do not fit"))
    assert not is_broken_exchange(RuntimeError("ProcessGroupGloo takes no such tensor"))
    assert not is_broken_exchange(ValueError("Connection closed by peer"))
