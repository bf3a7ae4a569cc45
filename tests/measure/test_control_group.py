"""Limits of control groups, in trees of files as kernels, Docker and Slurm lay them out."""

from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from vigbench.measure import contention, environment, settings
from vigbench.measure.control_group import cpu_quota, memory_left, memory_limit, throttled_s

MIB = 2**20
NO_LIMIT = str(2**63 - 4096)  # as version 1 writes it
Machine = Callable[..., tuple[Path, Path]]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine's /proc and /sys/fs/cgroup: lines in /proc/self, where `{}` is the latter, and files by path."""

    def make(groups: str, mounts: str, files: dict[str, str]) -> tuple[Path, Path]:
        proc, sys = tmp_path / "proc", tmp_path / "cgroup"
        (proc / "self").mkdir(parents=True)
        (proc / "self" / "cgroup").write_text(groups)
        (proc / "self" / "mountinfo").write_text(mounts.replace("{}", str(sys)))
        for name, text in files.items():
            (sys / name).parent.mkdir(parents=True, exist_ok=True)
            (sys / name).write_text(text)
        return proc, sys

    return make


UNIFIED = "30 23 0:26 / {} rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
SPLIT = (
    "31 23 0:28 / {}/cpu,cpuacct rw shared:2 - cgroup cgroup rw,cpu,cpuacct\n"
    "32 23 0:29 / {}/memory rw shared:3 - cgroup cgroup rw,memory\n"
    "33 23 0:30 / {}/unified rw shared:4 - cgroup2 cgroup2 rw\n"
)


def test_a_machine_without_control_groups_has_no_limits(tmp_path: Path) -> None:
    where = tmp_path / "proc", tmp_path / "cgroup"
    assert (cpu_quota(*where), memory_limit(*where), memory_left(*where)) == (None, None, None)
    assert throttled_s(*where) == 0


def test_a_container_sees_its_own_group_as_the_root(machine: Machine) -> None:
    files = {"cpu.max": "150000 100000\n", "memory.max": "max\n"}
    where = machine("0::/\n", UNIFIED, files)
    assert cpu_quota(*where) == 1.5
    assert memory_limit(*where) is None


def test_what_any_group_around_a_job_limits_is_limited(machine: Machine) -> None:
    """Slurm: job, step and task are groups inside each other, and any of them may have the limit."""
    files = {
        "slurm/job_7/cpu.max": "400000 100000\n",
        "slurm/job_7/memory.max": f"{800 * MIB}\n",
        "slurm/job_7/memory.current": f"{700 * MIB}\n",
        "slurm/job_7/memory.stat": f"anon 1\ninactive_file {50 * MIB}\nslab_reclaimable {10 * MIB}\n",
        "slurm/job_7/step_0/cpu.max": "max 100000\n",
        "slurm/job_7/step_0/memory.max": f"{900 * MIB}\n",
        "slurm/job_7/step_0/memory.current": f"{100 * MIB}\n",
        "slurm/job_8/cpu.max": "100000 100000\n",  # somebody else's
    }
    where = machine("0::/slurm/job_7/step_0\n", UNIFIED, files)
    assert cpu_quota(*where) == 4
    assert memory_limit(*where) == 800 * MIB
    assert memory_left(*where) == 160 * MIB


def test_version_1_has_a_hierarchy_for_each_controller(machine: Machine) -> None:
    files = {
        "cpu,cpuacct/jobs/cpu.cfs_quota_us": "250000\n",
        "cpu,cpuacct/jobs/cpu.cfs_period_us": "100000\n",
        "cpu,cpuacct/jobs/7/cpu.cfs_quota_us": "-1\n",
        "cpu,cpuacct/jobs/7/cpu.cfs_period_us": "100000\n",
        "cpu,cpuacct/jobs/7/cpu.stat": "nr_throttled 3\nthrottled_time 2500000000\n",
        "memory/memory.limit_in_bytes": NO_LIMIT,
        "memory/other/memory.limit_in_bytes": f"{300 * MIB}\n",
        "memory/other/memory.usage_in_bytes": f"{200 * MIB}\n",
        "memory/other/memory.stat": f"inactive_file 7\ntotal_inactive_file {20 * MIB}\ntotal_active_file {30 * MIB}\n",
    }
    where = machine("4:memory:/other\n2:cpu,cpuacct:/jobs/7\n1:name=systemd:/x\n0::/\n", SPLIT, files)
    assert cpu_quota(*where) == 2.5
    assert memory_limit(*where) == 300 * MIB
    assert memory_left(*where) == 150 * MIB
    assert throttled_s(*where) == 2.5


def test_a_container_of_version_1_mounts_its_group_alone(machine: Machine) -> None:
    """Its path in /proc is the host's, and lies at the mount itself."""
    mounts = "40 23 0:29 /docker/ab {}/memory ro - cgroup cgroup rw,memory\n"
    files = {"memory/memory.limit_in_bytes": f"{64 * MIB}\n", "memory/memory.usage_in_bytes": f"{80 * MIB}\n"}
    where = machine("4:memory:/docker/ab\n", mounts, files)
    assert memory_limit(*where) == 64 * MIB
    assert memory_left(*where) == 0, "never less than nothing"


def test_a_group_outside_of_what_is_mounted_leaves_the_mount(machine: Machine) -> None:
    where = machine("0::/../elsewhere\n", UNIFIED.replace(" / ", " /inner ", 1), {"cpu.max": "50000 100000"})
    assert cpu_quota(*where) == 0.5


@pytest.mark.parametrize(("quota", "threads"), [(None, 16), (64.0, 16), (2.0, 2), (1.5, 1), (0.5, 1)])
def test_no_more_threads_than_the_quota_lets_run(
    quota: float | None, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "usable_cores", lambda: set(range(32)))
    monkeypatch.setattr(psutil, "cpu_count", lambda logical=True: 32 if logical else 16)
    monkeypatch.setattr(settings, "cpu_quota", lambda: quota)
    assert settings.default_threads() == threads
    assert settings.usable_cpus() == (32 if quota in (None, 64.0) else threads)


def test_the_record_s_environment_has_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "cpu_quota", lambda: 1.5)
    monkeypatch.setattr(environment, "memory_limit", lambda: 3 * 2**29)
    monkeypatch.setattr(environment, "memory_left", lambda: 2**29)
    described = environment.describe_environment("cpu", 0)
    assert described["cpu"]["quota"] == 1.5
    assert described["memory_gib"] | {"total": 0} == {"total": 0, "available": 0.5, "limit": 1.5}


def test_what_a_quota_stops_is_a_share_of_the_threads_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, stopped = iter([100.0, 110.0]), iter([3.0, 8.0])
    monkeypatch.setattr(contention, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(contention, "throttled_s", lambda: next(stopped))
    assert contention.Throttling(threads=2).share() == 0.25
