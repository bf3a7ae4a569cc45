"""Multiply-adds by the counting rule, whoever computes them, and those that are executed."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from vigbench.ops.cost import EXECUTED_FLOPS, SPECIAL_FUNCTIONS
from vigbench.ops.registry import get_implementation
from vigbench.ops.scalar_gla import bidirectional_retention, bidirectional_scalar_gla, scalar_gla, ssd
from vigbench.ops.scalar_gla import cost as formulas

IMPLEMENTATIONS = ("triton_fused", "torch_chunk", "fla", "reference")
B, L, H, K, V = 2, 100, 4, 16, 32


def macs(run: object) -> int:
    with FlopCounterMode(display=False) as counter:
        run()  # type: ignore[operator]
    return counter.get_total_flops() // 2


def load(implementation: str) -> None:
    """Its operator brings its formulas with it."""
    if implementation == "triton_fused":
        pytest.importorskip("triton")
    get_implementation("scalar_gla", implementation).load()


def meta(*shape: int) -> torch.Tensor:
    return torch.empty(*shape, device="meta", requires_grad=True)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_three_a_state_element_and_direction(implementation: str) -> None:
    load(implementation)
    q, v, g = meta(B, L, H, K), meta(B, L, H, V), meta(B, L, H)
    one = 3 * B * L * H * K * V
    assert macs(lambda: scalar_gla(q, q, v, g, implementation=implementation)) == one
    assert macs(lambda: bidirectional_retention(q, q, v, implementation=implementation)) == 2 * one
    both = bidirectional_scalar_gla(q, q, v, g, g, implementation=implementation)
    assert macs(lambda: both.sum().backward()) == 4 * one


@pytest.mark.parametrize("implementation", [*IMPLEMENTATIONS, "mamba_ssm"])
def test_an_ssd_multiplies_steps_and_skips_too(implementation: str) -> None:
    load(implementation)
    x, dt, a, b = meta(B, L, H, V), meta(B, L, H), meta(H), meta(B, L, 1, K)
    core, steps = 3 * B * L * H * K * V, B * L * H
    assert macs(lambda: ssd(x, dt, a, b, b, implementation=implementation)) == core + steps * (V + 1)
    y = ssd(x, dt, a, b, b, a, implementation=implementation)
    assert macs(lambda: ssd(x, dt, a, b, b, a, implementation=implementation)) == core + steps * (2 * V + 1)
    assert macs(lambda: y.sum().backward()) == 2 * (core + steps * (2 * V + 1))


def test_a_token_of_mamba_2() -> None:
    """1.57 M for the recurrence at 64 heads of 64 channels with states of 128."""
    load("torch_chunk")
    x, dt, a, b = meta(1, 1, 64, 64), meta(1, 1, 64), meta(64), meta(1, 1, 1, 128)
    found = macs(lambda: ssd(x, dt, a, b, b, a, implementation="torch_chunk"))
    assert found == 3 * 64 * 128 * 64 + 64 * 129
    assert found / 1e6 == pytest.approx(1.58, abs=0.005)


def test_what_is_executed_is_linear_in_length_and_more() -> None:
    for executed in (formulas.chunk_macs, formulas.fused_macs):
        short, long = (executed((B, n, H, K), (B, n, H, K), (B, n, H, V), (B, n, H), (B, n, H)) for n in (256, 1024))
        assert long == 4 * short
        assert long > 2 * 2 * B * 1024 * H * K * V  # states written and read
    for executed in (formulas.chunk_macs_backward, formulas.fused_macs_backward):
        shapes = ((B, 256, H, V), (B, 256, H, K), (B, 256, H, K), (B, 256, H, V), (B, 256, H), None)
        assert executed(*shapes) > 5 * B * 256 * H * K * V


def test_executed_counts_and_exponentials_are_registered() -> None:
    ops = torch.ops.vigbench
    ssd(torch.ones(1, 1, 1, 2), torch.ones(1, 1, 1), -torch.ones(1), *[torch.ones(1, 1, 1, 2)] * 2)  # defines them
    for packet in (ops.scalar_gla_torch_chunk, ops.scalar_gla_torch_chunk_ssd):
        assert packet in EXECUTED_FLOPS
    x, dt, b = (B, L, H, V), (B, L, H), (B, L, 1, K)
    assert SPECIAL_FUNCTIONS[ops.scalar_gla_torch_chunk](b, b, x, dt, dt, 1.0) == 2 * B * L * H
    assert SPECIAL_FUNCTIONS[ops.scalar_gla_torch_chunk_ssd](x, dt, (H,), b, b, None, False) == B * L * H
