"""Faults are injected for real: every one ends in exactly one status, with a reason to act on."""

import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests.processes import is_running
from vigbench.records.stages import seconds_of
from vigbench.runner.process import run_in_worker
from vigbench.suites.case import Case
from vigbench.worker.messages import Job, Outcome

Measure = Callable[..., Outcome]


def run(case: Case) -> Outcome:
    return run_in_worker(Job(case=case, budget_s=0.5), timeout_s=1200, on_stage=lambda stage: None)


@pytest.mark.parametrize(
    ("name", "status", "reason"),
    [
        ("raises", "error", "ZeroDivisionError: division by zero"),
        ("segfaults", "crashed", "SIGSEGV"),
        ("is_killed", "crashed", "SIGKILL. Often that is the kernel's out-of-memory killer"),
        ("exits", "crashed", "exit code 7 before it had a result. Its last words: my last words"),
        ("is_nan", "wrong_result", "NaN"),
        ("changes_its_input", "unsupported", "changes its input in place"),
        ("leaves_by_itself", "error", "SystemExit: no GPU"),
        ("no_module", "error", "must return a torch.nn.Module"),
        ("there_is_none", "error", "misbehaving has no 'there_is_none'"),
        ("needs_a_package", "unsupported", "pip install no_such_package"),
    ],
)
def test_a_fault_ends_in_one_status_with_a_reason(measure: Measure, name: str, status: str, reason: str) -> None:
    outcome = measure(name)
    assert outcome.status == status
    assert reason in outcome.reason
    assert outcome.metrics.latency_ms is None, "what failed is never timed"


REACHED_BEFORE_A_CALL = ["start", "build", "check", "end"]


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("fine", ["start", "build", "check", "cost", "warm-up", "memory", "timing", "path", "end"]),
        ("raises", REACHED_BEFORE_A_CALL),
        ("exits", REACHED_BEFORE_A_CALL),
        pytest.param("hangs", REACHED_BEFORE_A_CALL, marks=pytest.mark.slow),
    ],
)
def test_every_stage_that_was_reached_has_its_seconds_by_the_coordinator_s_clock(
    measure: Measure, name: str, stages: list[str]
) -> None:
    told: list[str] = []
    begin = time.monotonic()
    outcome = measure(name, timeout_s=60 if name != "hangs" else 10, on_stage=told.append)
    wall_s = time.monotonic() - begin
    seconds = seconds_of([outcome.metrics])
    assert sorted(seconds) == sorted(stages)
    assert told == stages[1:-1], "the first and the last no worker can tell"
    assert all(one >= 0 for one in seconds.values())
    assert 0 < sum(seconds.values()) <= wall_s


@pytest.mark.slow
def test_a_hang_is_killed_at_its_time(measure: Measure) -> None:
    outcome = measure("hangs", timeout_s=4)  # the model sleeps for an hour: without the limit this test would hang
    assert outcome.status == "timeout"
    assert "--case-timeout" in outcome.reason


@pytest.mark.parametrize(
    ("name", "status"),
    [("leaves_children", "ok"), ("leaves_children_and_crashes", "crashed")],
)
def test_no_child_outlives_its_worker(measure: Measure, subjects: Path, name: str, status: str) -> None:
    assert measure(name).status == status
    assert len(expect_no_child(subjects)) == 3


@pytest.mark.slow
def test_no_child_outlives_a_worker_that_is_killed_at_its_time(measure: Measure, subjects: Path) -> None:
    for timeout_s in (5, 20, 80, 320):  # until it has come so far as to have children
        assert measure("leaves_children_and_hangs", timeout_s=timeout_s).status == "timeout"
        if len(expect_no_child(subjects)) == 3:
            return
    pytest.fail("no children")


def expect_no_child(subjects: Path) -> list[int]:
    """The children that a subject had; none lives on."""
    children = [int(text) for file in (subjects / "pids").iterdir() if (text := file.read_text())]
    deadline = time.monotonic() + 60
    while left := [pid for pid in children if is_running(pid)]:
        if time.monotonic() > deadline:
            for pid in left:
                os.kill(pid, 9)
            pytest.fail(f"{len(left)} of {len(children)} children lived on")
        time.sleep(0.05)
    return children


@pytest.mark.skipif("forkserver" not in multiprocessing.get_all_start_methods(), reason="needs the fork server")
def test_other_users_of_the_fork_server_keep_their_processes(measure: Measure) -> None:
    assert measure("fine").status == "ok"  # the fork server is there
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("forkserver")) as pool:
        assert pool.submit(abs, -3).result() == 3
        assert measure("leaves_children").status == "ok"
        assert pool.submit(abs, -4).result() == 4


@pytest.mark.slow
def test_gigabytes_of_output_cost_neither_disk_nor_memory(measure: Measure) -> None:
    before = psutil.Process().memory_info().rss
    outcome = measure("prints_gigabytes")  # 300 MB a call, more than ten calls
    assert outcome.status == "ok", outcome.reason
    assert psutil.Process().memory_info().rss - before < 100 * 2**20


def test_memory_beyond_what_is_free_is_an_out_of_memory_record(measure: Measure, subjects: Path) -> None:
    # a small cap stands for a small machine; the allocation that fails is real
    source = subjects / "misbehaving.py"
    cap = "import resource\nresource.setrlimit(resource.RLIMIT_DATA, (2**31, 2**31))\n"
    source.write_text(source.read_text() + cap)
    outcome = measure("eats_memory")
    assert outcome.status == "out_of_memory", outcome.reason
    assert "batch 1, 32 px" in outcome.reason


@pytest.mark.slow
def test_a_subject_of_known_duration_and_memory_is_measured_right(measure: Measure) -> None:
    slow = measure("sleeps", budget_s=3.0).metrics
    assert slow.latency_ms is not None
    assert slow.throughput_per_s is not None
    assert 100 <= slow.latency_ms < 200, "no sleep is shorter, and on a busy machine it is longer"
    assert 5 < slow.throughput_per_s <= 10
    large = measure("allocates").metrics
    assert large.activation_memory_mib == pytest.approx(256, rel=0.05)
    assert large.process_growth_mib is None or large.process_growth_mib == pytest.approx(256, rel=0.05)


@pytest.mark.parametrize(
    ("subject", "implementation", "resolution"),
    [
        ("deit_tiny_patch16_224", "sdpa", 8),
        ("vig_tiny_patch16_224", "torch_chunk", 3),
        ("xcit_tiny_12_p16_224", "sdpa", 250),
        ("crossvit_tiny_240", "sdpa", 224),
    ],
)
def test_a_model_that_cannot_take_a_resolution_is_unsupported(
    subject: str, implementation: str, resolution: int
) -> None:
    case = Case(subject=subject, implementation=implementation, resolution=resolution)
    outcome = run(case)
    assert outcome.status == "unsupported", outcome.reason
    assert f"{resolution} px" in outcome.reason


def test_an_implementation_that_cannot_run_here_is_unsupported() -> None:
    case = Case(subject="vig_tiny_patch16_224", implementation="triton_recurrent", resolution=64, threads=1)
    outcome = run(case)
    assert outcome.status == "unsupported"
    assert "runs on cuda, not on cpu" in outcome.reason


def test_cuda_without_a_device_is_unsupported() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    case = Case(subject="resnet18", resolution=64, device="cuda")
    outcome = run(case)
    assert outcome.status == "unsupported"
    assert "vigbench doctor" in outcome.reason


def test_stages_come_in_the_order_of_the_protocol(subjects: Path) -> None:
    stages: list[str] = []
    case = Case(subject="misbehaving:fine", resolution=32, threads=1)
    outcome = run_in_worker(Job(case=case, budget_s=0.2), timeout_s=1200, on_stage=stages.append)
    assert outcome.status == "ok"
    assert stages == ["build", "check", "cost", "warm-up", "memory", "timing", "path"]
