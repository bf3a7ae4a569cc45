from typing import Any

import pytest
import timm
import torch
from torch import nn
from torch.utils.flop_counter import flop_registry

import vigbench
from vigbench.measure.cost import count_cost
from vigbench.measure.memory import cpu_allocator_peak
from vigbench.ops.attention import set_attention
from vigbench.ops.cost import EXECUTED_FLOPS, register_cost

DEIT_GMACS = {
    "deit_tiny_patch16_224": 1.2537,
    "deit_small_patch16_224": 4.5989,
    "deit_base_patch16_224": 17.564,
}


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("name", DEIT_GMACS)
def test_deit_at_224(name: str, attention: str) -> None:
    with torch.device("meta"):
        model = timm.create_model(name)
    set_attention(model, attention)
    cost = count_cost(model, (1, 3, 224, 224))
    assert cost.macs / 1e9 == pytest.approx(DEIT_GMACS[name], abs=5e-5 if "base" not in name else 5e-4)
    assert cost.executed_macs == cost.macs
    assert cost.coverage == 1
    assert not cost.uncounted


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_deit_tiny_at_1024_is_exact(attention: str) -> None:
    with torch.device("meta"):
        model = timm.create_model("deit_tiny_patch16_224", img_size=1024)
    set_attention(model, attention)
    assert count_cost(model, (1, 3, 1024, 1024)).macs == 99_699_916_800


@pytest.mark.parametrize(
    ("name", "resolution", "total", "gla"),
    [
        ("vig_tiny_patch16_224", 224, 1_196_663_808, 86_704_128),
        ("vig_tiny_patch16_224", 1024, 25_004_011_008, 1_811_939_328),
        ("vig_h_tiny_patch4_224", 224, 4_537_832_448, 130_056_192),
    ],
)
@pytest.mark.parametrize("implementation", ["torch_chunk", "reference"])
def test_vig_is_exact_for_every_implementation(
    name: str, resolution: int, total: int, gla: int, implementation: str
) -> None:
    model = vigbench.create_model(name, implementation=implementation)
    cost = count_cost(model, (1, 3, resolution, resolution))
    assert cost.macs == total
    assert cost.flops == 2 * total
    assert cost.by_operator["gla"] == cost.operator_macs == gla
    assert cost.coverage == 1


def test_chunked_gla_executes_more_than_the_rule_counts() -> None:
    model = vigbench.create_model("vig_tiny_patch16_224", implementation="torch_chunk")
    cost = count_cost(model, (1, 3, 224, 224))
    assert cost.executed_macs > cost.macs


def test_count_covers_the_whole_batch() -> None:
    model = timm.create_model("resnet18")
    assert count_cost(model, (4, 3, 64, 64)).macs == 4 * count_cost(model, (1, 3, 64, 64)).macs


def test_the_model_is_left_as_it_was() -> None:
    model = timm.create_model("resnet18")
    model.train()
    model.layer1.eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    count_cost(model, (1, 3, 64, 64))
    assert model.training
    assert not model.layer1.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_neither_weights_nor_activations_are_allocated() -> None:
    model = timm.create_model("resnet50")
    # one activation of this batch alone would take 64 GiB
    peak = cpu_allocator_peak(lambda: count_cost(model, (64, 3, 4096, 4096)))
    assert peak < 2**20


class _WithAutocast(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x: Any) -> Any:
        with torch.autocast(device_type=x.device.type, enabled=False):
            return self.linear(x)


def test_a_model_may_switch_autocast_off_for_its_device() -> None:
    assert count_cost(_WithAutocast(), (2, 3, 8, 8)).macs == 2 * 3 * 8 * 8 * 8
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.is_autocast_enabled("cpu"), "afterwards it is as it was"
    assert not torch.is_autocast_enabled("cpu")


class _WithToken(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.token, self.linear = nn.Parameter(torch.randn(1, 1, 8)), nn.Linear(8, 8)

    def forward(self, x: Any) -> Any:
        return self.linear(self.token.expand(len(x), -1, -1))


def test_a_module_may_be_called_with_a_view_of_a_parameter() -> None:
    assert count_cost(_WithToken(), (2, 3, 8, 8)).macs == 2 * 8 * 8


class _WithUnknownOperator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x: Any) -> Any:
        return torch.fft.rfft(self.linear(x)).abs()


def test_an_operator_without_formula_is_named() -> None:
    cost = count_cost(_WithUnknownOperator(), (2, 3, 8, 8))
    assert dict(cost.uncounted) == {"aten._fft_r2c": 1}
    assert 0 < cost.coverage < 1
    assert cost.macs == 2 * 3 * 8 * 8 * 8


def test_a_shape_that_the_model_does_not_take_is_a_value_error() -> None:
    with pytest.raises(ValueError, match=r"VisionTransformer did not run on an input of shape \(1, 3, 64, 64\)"):
        count_cost(timm.create_model("deit_tiny_patch16_224"), (1, 3, 64, 64))


def test_an_operator_that_registers_its_formulas_when_it_first_runs_is_counted_by_them() -> None:
    library = torch.library.Library("vigbench_test", "FRAGMENT")
    library.define("late(Tensor x) -> Tensor")
    library.impl("late", torch.clone, "CompositeExplicitAutograd")

    class Late(nn.Module):
        forwards = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            packet = torch.ops.vigbench_test.late
            if not self.forwards:
                register_cost(packet, macs=lambda shape, **_: shape[-1], executed_macs=lambda shape, **_: 3 * shape[-1])
            self.forwards += 1
            return packet(x)

    try:
        cost = count_cost(Late(), (1, 3, 4, 32))
        assert (cost.macs, cost.executed_macs, cost.calls, cost.uncounted) == (32, 96, 1, {})
    finally:
        flop_registry.pop(torch.ops.vigbench_test.late, None)
        EXECUTED_FLOPS.pop(torch.ops.vigbench_test.late, None)
