"""Profiling on a real CUDA device: pytest -m gpu."""

from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor, nn

from vigbench.measure.ceilings import device_ceilings
from vigbench.measure.memory import measure_memory
from vigbench.measure.profile.capture import Profile, ProfiledSubject, profile_subject
from vigbench.measure.profile.costs import costs_of
from vigbench.measure.profile.ranges import group_names, module_ranges
from vigbench.measure.profile.spans import kernel_calls
from vigbench.measure.profile.times import OUTSIDE_OPERATORS

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]
DEVICE = torch.device("cuda", 0)


def subject_of(model: nn.Module, inputs: Tensor, *, train: bool = False) -> ProfiledSubject:
    def infer() -> Tensor:
        with torch.inference_mode():
            out: Tensor = model(inputs)
            return out

    def step() -> None:
        model.zero_grad(set_to_none=True)
        model(inputs).square().sum().backward()

    return ProfiledSubject(step if train else infer, model, torch.cuda.synchronize, DEVICE)


def profile_of(folder: Path, subject: ProfiledSubject, iterations: int = 3) -> Profile:
    subject.call()
    torch.cuda.synchronize()
    return profile_subject(subject, iterations, folder / "trace.json.gz")


@pytest.mark.alone
def test_a_large_product_is_nearly_all_of_the_kernel_time(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(8192, 8192, bias=False), nn.ReLU()).to(DEVICE, torch.bfloat16)
    profile = profile_of(tmp_path, subject_of(model, torch.randn(8192, 8192, device=DEVICE, dtype=torch.bfloat16)))
    first = costs_of(profile.times, profile.counts, group_names(profile.classes), 3)[0]
    assert (first.operator, first.group) == ("aten::mm", "0")
    assert first.share > 0.8
    ceilings = device_ceilings(DEVICE, "bfloat16")
    assert 0.3 < first.tflop_per_s / ceilings.product_tflop_per_s["bfloat16"] < 1.5


@pytest.mark.alone
def test_kernels_add_up_and_belong_to_operators(tmp_path: Path) -> None:
    model = timm.create_model("deit_tiny_patch16_224").eval().to(DEVICE)
    profile = profile_of(tmp_path, subject_of(model, torch.randn(8, 3, 224, 224, device=DEVICE)))
    total = sum(one.end - one.begin for one in profile.kernels)
    assert total > 0
    assert profile.times.total == total
    assert sum(time for _, time in kernel_calls(profile.kernels).values()) == total
    assert sum(one.own for one in profile.times.modules.values()) == total
    outside = sum(one.total for key, one in profile.times.costs.items() if key[2] == OUTSIDE_OPERATORS)
    assert outside < 0.02 * total
    assert profile.times.modules["blocks.0.mlp.fc1"].own > 0
    assert profile.busy_s is not None
    assert 0 < profile.busy_s <= 1.001 * sum(profile.wall_s) / 3


@pytest.mark.alone
def test_the_backward_pass_of_another_thread_belongs_to_modules(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(2048, 2048, bias=False), nn.Linear(2048, 2048, bias=False)).to(DEVICE)
    profile = profile_of(tmp_path, subject_of(model, torch.randn(2048, 2048, device=DEVICE), train=True))
    assert profile.counts["1", True, "aten::mm"].calls == 2
    assert profile.counts["0", True, "aten::mm"].calls == 1
    backward = sum(profile.times.modules[path].backward for path in ("0", "1"))
    forward = sum(profile.times.modules[path].forward for path in ("0", "1"))
    assert 1.0 < backward / forward < 3.0


@pytest.mark.parametrize("train", [False, True])
def test_the_peak_of_the_timeline_is_that_of_the_memory_pass(train: bool, tmp_path: Path) -> None:
    model = timm.create_model("deit_tiny_patch16_224").to(DEVICE)
    inputs = torch.randn(4, 3, 224, 224, device=DEVICE)
    subject = subject_of(model, inputs, train=train)
    peak = profile_of(tmp_path, subject).memory.peak
    assert peak is not None
    assert peak.live == pytest.approx(measure_memory(subject.call, model, inputs).activations, rel=0.05)


def test_modules_open_and_close_nvtx_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    monkeypatch.setattr(torch.cuda.nvtx, "range_push", events.append)
    monkeypatch.setattr(torch.cuda.nvtx, "range_pop", lambda: events.append("pop"))
    model = nn.Sequential(nn.ReLU()).to(DEVICE)
    with module_ranges(model, DEVICE):
        model(torch.ones(1, device=DEVICE))
    assert events == ["module (model)", "module 0", "pop", "pop"]


@pytest.mark.alone
def test_a_kernel_of_triton_belongs_to_its_operator(tmp_path: Path) -> None:
    model = timm.create_model("vig_tiny_patch16_224", implementation="triton_fused").eval().to(DEVICE, torch.bfloat16)
    inputs = torch.randn(2, 3, 224, 224, device=DEVICE, dtype=torch.bfloat16)
    profile = profile_of(tmp_path, subject_of(model, inputs))
    gla = sum(one.total for key, one in profile.times.costs.items() if key[2].startswith("vigbench::gla"))
    assert gla > 0.02 * profile.times.total
