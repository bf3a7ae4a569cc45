"""A profile from the case to its folder."""

import json
from pathlib import Path

import pytest

from vigbench.cli.profiling import summary
from vigbench.measure.cost import count_cost
from vigbench.measure.profile.trace import read_trace
from vigbench.records.profile import ProfileRecord
from vigbench.runner.profile import profile_subject
from vigbench.subjects.catalog import build_subject
from vigbench.suites.case import Case
from vigbench.worker import profile_case as profiling

pytestmark = pytest.mark.slow

CEILINGS = profiling.Ceilings(copy_gb_per_s=10.0, product_tflop_per_s={"float32": 0.1, "bfloat16": 0.2})
NETS = """
import torch
from torch import nn


class Odd(nn.Module):
    def __init__(self):
        super().__init__()
        self.add_module("<b>&", nn.Conv2d(3, 8, 3))

    def forward(self, x):
        return getattr(self, "<b>&")(x).mean((2, 3))


class Fourier(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)

    def forward(self, x):
        return torch.fft.rfft(self.conv(x).mean((2, 3))).abs()


def odd(): return Odd()
def fourier(): return Fourier()
def fails(): return nn.Sequential(nn.Conv2d(4, 4, 3))
def eats():
    class Eats(nn.Module):
        def forward(self, x):
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")
    return Eats()
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ceilings that are given and a short sampling, in this process: none of that is what is tested here."""
    monkeypatch.setattr(
        "vigbench.runner.profile.run_in_worker",
        lambda job, timeout_s, on_stage: profiling.profile_here(job.case, job.argument, on_stage),
    )
    monkeypatch.setattr(profiling, "device_ceilings", lambda device, precision: CEILINGS)
    monkeypatch.setattr(profiling, "WARMUP_BUDGET_S", 0.1)
    monkeypatch.setattr(profiling, "SAMPLING_BUDGET_S", 0.1)


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "profiled_nets.py").write_text(NETS)
    monkeypatch.syspath_prepend(str(tmp_path))


def profiled(case: Case, out: Path, iterations: int = 1) -> tuple[Path, ProfileRecord]:
    found = profile_subject(case, iterations=iterations, out=out, command_line=["vigbench", "profile"])
    return found.folder, found.record


def test_a_folder_has_everything_and_its_numbers_agree(tmp_path: Path) -> None:
    case = Case(subject="vig_tiny_patch16_224", implementation="torch_chunk", resolution=64, batch_size=2, threads=1)
    folder, record = profiled(case, tmp_path, iterations=2)
    assert folder.name.startswith("profile-vig_tiny_patch16_224-64-cpu-2")
    names = {path.name for path in folder.iterdir()}
    assert names == {"profile.json", "modules.csv", "operators.csv", "costs.csv", "memory.csv", "trace.json.gz"}
    assert ProfileRecord.read(folder) == record
    info, totals = record.info, record.info["totals"]
    assert info["case"] == case.model_dump(mode="json")
    assert info["command_line"] == ["vigbench", "profile"]
    assert {"environment", "device_name", "code", "protocol", "ceilings", "words", "family"} <= set(info)
    assert len(info["words"]) == 5
    macs = count_cost(build_subject("vig_tiny_patch16_224", "torch_chunk", 64), (2, 3, 64, 64)).macs
    assert totals["counted_gmacs"] == pytest.approx(macs / 1e9)
    assert totals["gmacs"] == pytest.approx(macs / 1e9)
    assert sum(row.gmacs for row in record.costs) == pytest.approx(macs / 1e9)
    assert sum(row.share for row in record.costs) == pytest.approx(1)
    assert sum(row.share for row in record.modules) == pytest.approx(1)
    assert sum(row.self_ms for row in record.modules) == pytest.approx(totals["accounted_ms"])
    assert 0.5 < totals["accounted_share"] <= 1
    assert totals["timeline_peak_mib"] == pytest.approx(totals["peak_memory_mib"], rel=0.02)
    assert max(row.live_mib for row in record.memory) == pytest.approx(totals["timeline_peak_mib"])
    assert totals["device_busy_share"] is None
    assert len(totals["iterations_ms"]) == 2
    assert len(read_trace(folder / "trace.json.gz")) == totals["trace_events"]
    assert sum(row.calls for row in record.modules if row.group == "blocks.*.attn") == 12


def test_training_has_a_backward_pass_with_twice_the_multiply_adds(tmp_path: Path) -> None:
    case = Case(subject="deit_tiny_patch16_224", implementation="eager", resolution=32, phase="training", threads=1)
    _, record = profiled(case, tmp_path)
    totals = record.info["totals"]
    images = 192 * 3 * 16 * 16 * 4  # of the patch embedding: the image needs no gradient
    assert totals["counted_backward_gmacs"] == pytest.approx(2 * totals["counted_gmacs"] - images / 1e9)
    assert sum(row.backward_ms for row in record.modules) > 0
    assert any(row.phase == "backward" and row.group == "blocks.*.mlp.fc1" for row in record.costs)
    assert totals["timeline_peak_mib"] == pytest.approx(totals["peak_memory_mib"], rel=0.02)


def test_an_operator_is_profiled_too(tmp_path: Path) -> None:
    case = Case(
        subject="gla",
        implementation="torch_chunk",
        length=64,
        heads=2,
        key_dim=8,
        value_dim=16,
        threads=1,
        batch_size=3,
    )
    folder, record = profiled(case, tmp_path)
    assert folder.name.startswith("profile-gla-64-cpu-")
    totals = record.info["totals"]
    assert totals["counted_gmacs"] == pytest.approx(totals["gmacs"])
    assert (totals["flop_coverage"], totals["uncounted_operators"]) == (1, {})
    assert record.costs[0].operator == "vigbench::gla_torch_chunk"


def test_an_operator_without_a_formula_is_named(nets: None, tmp_path: Path) -> None:
    folder, record = profiled(Case(subject="profiled_nets:fourier", resolution=32, threads=1), tmp_path / "out")
    totals = record.info["totals"]
    assert totals["uncounted_operators"] == {"aten::_fft_r2c": 1}
    assert totals["flop_coverage"] < 1
    assert totals["counted_gmacs"] == pytest.approx(8 * 3 * 9 * 30 * 30 / 1e9)
    said = "\n".join(summary(record, folder))
    assert "No formula gives the multiply-adds of aten::_fft_r2c (1): they count as 0." in said


def test_a_hostile_name_stays_text(nets: None, tmp_path: Path) -> None:
    folder, record = profiled(Case(subject="profiled_nets:odd", resolution=32, threads=1), tmp_path / "out")
    assert folder.name.startswith("profile-profiled_nets-odd-32-cpu-")
    assert any(row.module == "<b>&" for row in ProfileRecord.read(folder).modules)
    assert json.loads((folder / "profile.json").read_text()) == record.info


@pytest.mark.parametrize(
    ("subject", "implementation", "message"),
    [
        ("profiled_nets:fails", "default", "takes images of 4 channels and is fed 3"),
        ("profiled_nets:eats", "default", "memory was used up at batch 1, 32 px"),
        ("deit_tiny_patch16_224", "flash_attn", "flash_attn"),
    ],
)
def test_what_cannot_be_profiled_is_one_line_and_leaves_nothing(
    nets: None, tmp_path: Path, subject: str, implementation: str, message: str
) -> None:
    case = Case(subject=subject, implementation=implementation, resolution=32, threads=1)
    with pytest.raises(ValueError, match=message) as raised:
        profiled(case, tmp_path / "out")
    assert "\n" not in str(raised.value)
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("settings", [{"compile": True}, {"cuda_graph": True}, {"phase": "training_step"}])
def test_what_hides_the_modules_is_refused(tmp_path: Path, settings: dict[str, object]) -> None:
    case = Case.model_validate({"subject": "deit_tiny_patch16_224", "resolution": 32, **settings})
    with pytest.raises(ValueError, match="phase inference or training"):
        profiled(case, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_said_before_anything_is_measured(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="Choose another folder with --out"):
        profiled(Case(subject="deit_tiny_patch16_224", resolution=32), tmp_path / "file")


def test_an_interrupted_profile_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(profiling, "capture_profile", interrupted)
    case = Case(subject="deit_tiny_patch16_224", implementation="eager", resolution=32, threads=1)
    with pytest.raises(KeyboardInterrupt):
        profiled(case, tmp_path)
    assert not list(tmp_path.iterdir())
