"""Rotary positions: what is known of them, whatever their code."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vigbench.models.layers.rotary import rotated


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@given(length=st.integers(2, 40), half=st.integers(1, 9), heads=st.integers(1, 3), steps=st.integers(1, 12))
def test_lengths_stay_and_the_first_token_does_not_turn(length: int, half: int, heads: int, steps: int) -> None:
    x = normal(1, length, heads, 2 * half)
    turned = rotated(x, steps)
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))
    assert torch.equal(turned[:, 0], x[:, 0])


@given(apart=st.integers(0, 20), first=st.integers(0, 500), half=st.integers(1, 9))
def test_a_product_depends_on_how_far_tokens_are_apart(apart: int, first: int, half: int) -> None:
    q, k = (normal(2, 1, 1, 2 * half)[n].expand(1, 600, 1, -1) for n in range(2))
    query, key = rotated(q, half), rotated(k, half)
    here = (query[0, apart] * key[0, 0]).sum()
    torch.testing.assert_close((query[0, first + apart] * key[0, first]).sum(), here)


def test_the_first_pair_turns_by_one_radian_a_token_and_the_last_by_its_share() -> None:
    x = torch.zeros(1, 4, 1, 4, dtype=torch.float64)
    x[..., :2] = 1
    angles = torch.atan2(rotated(x, 1)[0, :, 0, 2:], rotated(x, 1)[0, :, 0, :2])
    token = torch.arange(4, dtype=torch.float64)
    torch.testing.assert_close(angles, torch.stack([token, token / 10000], -1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_angles_are_exact_far_from_the_start(dtype: torch.dtype) -> None:
    x = normal(1, 16384, 1, 8)
    error = rotated(x.to(dtype), 4).double() - rotated(x, 4)
    assert error.abs().max() < 4 * torch.finfo(dtype).eps * x.abs().max()


def test_tables_made_in_inference_mode_serve_training() -> None:
    x = normal(1, 77, 1, 6)
    with torch.inference_mode():
        rotated(x, 3)
    x.requires_grad_()
    rotated(x, 3).sum().backward()
    assert x.grad is not None
