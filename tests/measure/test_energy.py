from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from vigbench.measure.energy import MIN_ENERGY_S, Meter, RaplUnavailableError, find_meter, measure_energy, open_rapl

CUDA, CPU = torch.device("cuda", 0), torch.device("cpu")
RANGE_UJ = 262_143_328_850


def domain(root: Path, name: str, energy_uj: int, folder: str = "intel-rapl:0") -> Path:
    path = root / folder
    path.mkdir(parents=True)
    (path / "name").write_text(f"{name}\n")
    (path / "energy_uj").write_text(f"{energy_uj}\n")
    (path / "max_energy_range_uj").write_text(f"{RANGE_UJ}\n")
    return path / "energy_uj"


def test_rapl_counts_joules_from_its_opening(tmp_path: Path) -> None:
    counter = domain(tmp_path, "package-0", 5_000_000)
    read = open_rapl(tmp_path)
    assert read() == 0
    for value, joules in (("7500000", 2.5), ("8500000", 3.5), ("8500000", 3.5)):
        counter.write_text(value)
        assert read() == pytest.approx(joules)


def test_rapl_wraps_around_more_than_once(tmp_path: Path) -> None:
    counter = domain(tmp_path, "package-0", RANGE_UJ - 1_000_000)
    read = open_rapl(tmp_path)
    for value in (1_000_000, RANGE_UJ - 3_000_000, 4_000_000):
        counter.write_text(str(value))
        now = read()
    assert now == pytest.approx((RANGE_UJ + 5_000_000) / 1e6)


def test_rapl_adds_packages_and_leaves_out_what_lies_in_or_around_them(tmp_path: Path) -> None:
    names = {
        "intel-rapl:0": "package-0",
        "intel-rapl:0:0": "core",
        "intel-rapl:0:1": "dram",
        "intel-rapl:1": "package-1",
        "intel-rapl:2": "psys",
        "intel-rapl-mmio:0": "package-0",
    }
    counters = [domain(tmp_path, name, 0, folder) for folder, name in names.items()]
    read = open_rapl(tmp_path)
    for counter in counters:
        counter.write_text("1000000")
    assert read() == pytest.approx(2)


def test_rapl_that_may_not_be_read_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counter = domain(tmp_path, "package-0", 0)
    honest = Path.read_text

    def refused(path: Path, *arguments: Any, **options: Any) -> str:
        if path == counter:
            raise PermissionError(13, "Permission denied", str(path))
        return honest(path, *arguments, **options)

    monkeypatch.setattr(Path, "read_text", refused)  # chmod 0 would not stop root
    meter = find_meter(CPU, rapl=tmp_path)
    assert meter.source == f"not available: {counter} is not readable (root only since Linux 5.10)"
    assert meter.read_j() is None


def test_a_broken_rapl_is_not_available(tmp_path: Path) -> None:
    domain(tmp_path, "package-0", 0).unlink()
    (tmp_path / "intel-rapl:0" / "energy_uj").mkdir()
    with pytest.raises(RaplUnavailableError, match="do not answer"):
        open_rapl(tmp_path)


def test_without_a_package_there_is_no_source(tmp_path: Path) -> None:
    for root in (tmp_path / "missing", tmp_path):
        meter = find_meter(CPU, rapl=root)
        assert not meter.available
        assert meter.source.startswith("not available: no package below")
    domain(tmp_path, "psys", 0)
    assert not find_meter(CPU, rapl=tmp_path).available


def test_nvml_counts_millijoules_of_torchs_gpu(nvml: Any) -> None:
    meter = find_meter(CUDA, nvml=nvml)
    assert meter.source == "NVML: whole board"
    assert meter.available
    nvml.now = 10.0
    assert meter.read_j() == pytest.approx(3000)


def test_a_gpu_is_never_measured_by_the_counter_of_the_processor(nvml: Any, tmp_path: Path) -> None:
    domain(tmp_path, "package-0", 0)
    nvml.missing.add("nvmlDeviceGetTotalEnergyConsumption")
    meter = find_meter(CUDA, nvml=nvml, rapl=tmp_path)
    assert meter.source == "not available: nvmlDeviceGetTotalEnergyConsumption: Not Supported"


@pytest.fixture
def block(nvml: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[], float]:
    """A block of 52 ms, by the clock of the fake GPU."""
    monkeypatch.setattr("vigbench.measure.energy.perf_counter", lambda: nvml.now)

    def run() -> float:
        nvml.now += 0.052
        return 0.052

    return run


def test_joules_per_image_are_power_over_throughput(nvml: Any, block: Callable[[], float]) -> None:
    energy = measure_energy(find_meter(CUDA, nvml=nvml), block, images=64)
    assert nvml.now >= MIN_ENERGY_S
    # one step of the counter in a span of a second: the bound that docs/measurement.md gives
    assert energy.j_per_img == pytest.approx(300 * 0.052 / 64, rel=nvml.step_s / MIN_ENERGY_S)
    assert energy.source == "NVML: whole board"


def test_the_steps_of_the_counter_matter_less_the_longer_the_span(nvml: Any, block: Callable[[], float]) -> None:
    energy = measure_energy(find_meter(CUDA, nvml=nvml), block, images=1, min_s=30)
    assert energy.j_per_img == pytest.approx(300 * 0.052, rel=nvml.step_s / 30)


def test_a_counter_that_stands_still_measures_nothing(nvml: Any, block: Callable[[], float]) -> None:
    nvml.watts = 0
    energy = measure_energy(find_meter(CUDA, nvml=nvml), block, images=1)
    assert energy.j_per_img is None
    assert energy.source == "not available: the counter (NVML: whole board) did not move in 1 s"


def test_a_counter_that_fails_in_between_measures_nothing(nvml: Any, block: Callable[[], float]) -> None:
    meter = find_meter(CUDA, nvml=nvml)

    def lost() -> float:
        nvml.missing.add("nvmlDeviceGetTotalEnergyConsumption")
        return block()

    energy = measure_energy(meter, lost, images=1)
    assert energy.j_per_img is None
    assert energy.source.startswith("not available: ")


def test_without_a_source_nothing_runs() -> None:
    def never() -> float:
        raise AssertionError("a block ran")

    energy = measure_energy(Meter("not available: no reason"), never, images=1)
    assert (energy.j_per_img, energy.source) == (None, "not available: no reason")
