"""Whose time it is: every nanosecond of an iteration has one module, one operator and one cost."""

import gzip
import json
import time
from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor, nn

from tests.measure.profiled import CPU, profile_of, subject_of
from vigbench.measure.cost import count_cost
from vigbench.measure.profile.capture import Profile, profile_subject
from vigbench.measure.profile.costs import costs_of
from vigbench.measure.profile.places import BACKWARD, OUTSIDE
from vigbench.measure.profile.ranges import group_names, module_ranges
from vigbench.measure.profile.times import OUTSIDE_OPERATORS
from vigbench.measure.profile.trace import read_trace

pytestmark = pytest.mark.slow


class Sleeps(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        time.sleep(0.03)
        return x + 1


class Fails(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError("on purpose")


@pytest.fixture(scope="module")
def deit(tmp_path_factory: pytest.TempPathFactory) -> Profile:
    model = timm.create_model("deit_tiny_patch16_224", img_size=64, depth=3).eval()
    return profile_of(tmp_path_factory.mktemp("deit"), model, torch.randn(1, 3, 64, 64), iterations=3)


def test_one_large_product_is_the_first_cost_by_far(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(1536, 1536, bias=False))
    profile = profile_of(tmp_path, model, torch.randn(1536, 1536))
    first = costs_of(profile.times, profile.counts, group_names(profile.classes), 2)[0]
    assert (first.operator, first.group, first.calls) == ("aten::mm", "0", 1)
    assert first.share > 0.5
    assert first.flops == 2 * 1536**3
    assert first.moved == 3 * 4 * 1536**2


def test_sleeping_is_the_time_of_the_module_that_sleeps_outside_of_operators(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Sequential(Sleeps()), nn.Linear(8, 8))
    times = profile_of(tmp_path, model, torch.randn(2, 8)).times
    slept = 2 * 30e6  # ns
    assert times.modules["1.0"].outside >= slept
    assert times.modules["1.0"].own < times.modules["1.0"].outside + slept, "its addition is not what sleeps"
    assert times.modules["1"].total >= times.modules["1"].own + slept
    assert times.outside >= slept
    assert times.costs["1.0", False, OUTSIDE_OPERATORS].total == times.modules["1.0"].outside


def test_every_table_adds_up_to_the_iterations(deit: Profile) -> None:
    times = deit.times
    assert sum(one.own for one in times.modules.values()) == times.total
    assert sum(one.total for one in times.costs.values()) == times.total
    assert sum(one.own for one in times.operators.values()) + times.outside == times.total
    assert 0.5 < times.total / (1e9 * sum(deit.wall_s)) <= 1, "only the clock's own calls lie between"
    costs = costs_of(times, deit.counts, group_names(deit.classes), 3)
    assert sum(one.share for one in costs) == pytest.approx(1)


def test_a_module_with_those_inside_it_is_its_own_time_and_theirs(deit: Profile) -> None:
    modules = deit.times.modules
    for path, one in modules.items():
        children = [other.total for name, other in modules.items() if path and name.rpartition(".")[0] == path]
        if children:
            assert one.total == one.own + sum(children), path
    top = sum(one.total for path, one in modules.items() if path and "." not in path and not path.startswith("("))
    assert modules[""].total == modules[""].own + top


def test_multiply_adds_are_those_of_the_count(deit: Profile) -> None:
    model = timm.create_model("deit_tiny_patch16_224", img_size=64, depth=3)
    assert sum(one.flops for one in deit.counts.values()) == count_cost(model, (1, 3, 64, 64)).flops
    for key, count in deit.counts.items():
        assert deit.times.costs[key].calls == 3 * count.calls, key


@pytest.mark.parametrize("subject", ["vig_tiny_patch16_224", "vim_tiny_patch16_224"])
def test_an_operator_of_vigbench_is_one_call_with_its_own_count(subject: str, tmp_path: Path) -> None:
    model = timm.create_model(subject, depth=2).eval()
    profile = profile_of(tmp_path, model, torch.randn(1, 3, 64, 64), iterations=1)
    cost = count_cost(model, (1, 3, 64, 64))
    assert sum(one.flops for one in profile.counts.values()) == cost.flops
    own = {name: count for (_, _, name), count in profile.counts.items() if name.startswith("vigbench::")}
    assert own
    large = max(own, key=lambda name: own[name].flops)
    (key,) = [key for key in profile.times.costs if key[2] == large][:1]
    assert profile.times.costs[key].calls == 1
    assert profile.times.costs[key].calls_inside > 10
    assert profile.times.costs[key].inside.total() <= profile.times.costs[key].total


def test_the_backward_pass_belongs_to_the_modules_whose_operators_it_reverses(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(512, 512, bias=False), nn.GELU(), nn.Sequential(nn.Linear(512, 512, bias=False)))
    profile = profile_of(tmp_path, model, torch.randn(512, 512), train=True)
    times, counts = profile.times, profile.counts
    assert counts["0", True, "aten::mm"].calls == 1, "the input needs no gradient"
    assert counts["2.0", True, "aten::mm"].calls == 2
    assert counts["1", True, "aten::gelu_backward"].calls == 1
    assert counts["2.0", True, "aten::mm"].flops == 2 * counts["2.0", False, "aten::mm"].flops
    assert times.costs["2.0", True, "aten::mm"].calls == 2 * 2
    assert times.modules["2.0"].backward > 0
    assert times.modules["2"].backward == 0
    assert times.modules["2"].total >= times.modules["2.0"].own
    assert times.modules[BACKWARD].backward < times.modules["2.0"].backward, "storing gradients copies nothing"
    assert sum(one.own for one in times.modules.values()) == times.total


def test_a_loss_outside_of_the_model_has_no_module(tmp_path: Path) -> None:
    profile = profile_of(tmp_path, nn.Sequential(nn.Linear(4, 4)), torch.randn(2, 4), train=True)
    assert (OUTSIDE, False, "aten::pow") in profile.counts
    assert (OUTSIDE, True, "aten::mul") in profile.counts


@pytest.mark.parametrize("train", [False, True])
def test_a_profile_leaves_nothing_behind(train: bool, tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.LazyLinear(4)).eval()
    inputs = torch.randn(2, 3, 8, 8)
    subject = subject_of(model, inputs, train=train)
    before = model(inputs)
    profile_subject(subject, 1, tmp_path / "trace.json.gz")
    assert torch.equal(model(inputs), before)
    for module in model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not module._forward_hooks_always_called
    assert [path.name for path in tmp_path.iterdir()] == ["trace.json.gz"]


def test_ranges_go_when_a_module_fails() -> None:
    model = nn.Sequential(nn.Identity(), Fails())
    with pytest.raises(RuntimeError, match="on purpose"), module_ranges(model, CPU):
        model(torch.ones(1))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_on_cuda_modules_open_and_close_nvtx_ranges_even_if_one_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    monkeypatch.setattr(torch.cuda.nvtx, "range_push", events.append)
    monkeypatch.setattr(torch.cuda.nvtx, "range_pop", lambda: events.append("pop"))
    model = nn.Sequential(nn.Identity(), Fails())
    with pytest.raises(RuntimeError, match="on purpose"), module_ranges(model, torch.device("cuda")):
        model(torch.ones(1))
    assert events == ["module (model)", "module 0", "pop", "module 1", "pop", "pop"]


def test_names_stay_text_in_the_trace(tmp_path: Path) -> None:
    model = nn.Sequential()
    names = ['"], {"x": "<script>', "line\nbreak", "back\\slash", "\udcff lone", "aten::mm", "module 0"]
    for name in names:
        model.add_module(name, nn.Linear(4, 4))
    profile = profile_of(tmp_path, model, torch.randn(2, 4))
    assert [profile.times.modules[name].calls for name in names] == [2] * len(names)
    assert profile.counts["aten::mm", False, "aten::addmm"].calls == 1
    shown = {str(event.get("name")) for event in read_trace(tmp_path / "trace.json.gz")}
    modules = [name for name in shown if name.startswith("module ")]  # kineto writes some characters in another way
    assert len(modules) == len(names) + 1
    assert sum("<script>" in name for name in modules) == 1
    assert "module aten::mm" in modules


def test_the_trace_has_every_iteration_and_names_no_machine(tmp_path: Path) -> None:
    profile = profile_of(tmp_path, nn.Linear(4, 4), torch.randn(2, 4), iterations=3)
    events = read_trace(tmp_path / "trace.json.gz")
    assert len(events) == profile.trace_events
    assert sum(event.get("name") == "vigbench: iteration" for event in events) == 3
    with gzip.open(tmp_path / "trace.json.gz", "rt") as file:
        trace = json.load(file)
    assert not {"host_name", "traceName"} & set(trace)


def test_what_is_no_trace_is_refused(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "x.json.gz", "wt") as file:
        file.write('{"traceEvents": []}')
    with pytest.raises(ValueError, match="no trace"):
        read_trace(tmp_path / "x.json.gz")


def test_a_module_called_twice_counts_twice(tmp_path: Path) -> None:
    shared = nn.Linear(4, 4)
    profile = profile_of(tmp_path, nn.Sequential(shared, nn.ReLU(), shared), torch.randn(2, 4))
    assert profile.times.modules["0"].calls == 2 * 2
    assert "2" not in profile.times.modules


def test_repeated_blocks_are_one_group_and_others_keep_their_numbers() -> None:
    block = [nn.Sequential(nn.Linear(2, 2), nn.ReLU()) for _ in range(3)]
    model = nn.Module()
    model.blocks, model.stem = nn.ModuleList(block), nn.Sequential(nn.Linear(2, 2))
    groups = group_names({path: type(module).__name__ for path, module in model.named_modules()})
    assert {groups[f"blocks.{n}.0"] for n in range(3)} == {"blocks.*.0"}
    assert groups["blocks.2.1"] == "blocks.*.1"
    assert groups["stem.0"] == "stem.0"
    assert groups[""] == ""
