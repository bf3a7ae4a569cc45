"""Plans start the same kernels with the same arguments as the code that they repeat, whatever the tensors."""

from collections.abc import Callable
from threading import Thread
from typing import Any

import pytest
import torch
from torch import Tensor

pytest.importorskip("triton", reason="needs triton")

from triton import knobs

from tests.ops.no_driver import Start, without_gpu
from vigbench.ops import launch_plan
from vigbench.ops.biwkv import triton_fused as biwkv
from vigbench.ops.causal_conv import triton_fused as causal_conv
from vigbench.ops.gated_norm import triton_fused as gated_norm
from vigbench.ops.gla import triton_fused as gla
from vigbench.ops.gla import triton_recurrent, triton_unfused
from vigbench.ops.launch_plan import planned
from vigbench.ops.scan import triton_fused as scan

Call = tuple[Callable[..., Any], tuple[Any, ...]]


def low_rank_inputs(length: int = 40, batch: int = 1, dtype: torch.dtype = torch.bfloat16) -> list[Tensor]:
    """q, k, v as slices of one tensor, as ViG's projections give them."""
    qkv = torch.randn(batch, length, 3 * 128).to(dtype)
    q, k, v = (x.unflatten(-1, (3, -1)) for x in qkv.split((96, 96, 192), -1))
    return [q, k, v, *(torch.randn(shape).to(dtype) for shape in ((batch, length, 16), (2, 3, 32, 16), (2, 3, 32)))]


def calls() -> dict[str, Call]:
    """Each operator, short and in several segments, forward and backward."""
    found: dict[str, Call] = {}
    for length in (40, 600):
        q, k, v, *gates = low_rank_inputs(length)
        grad, (g, h) = torch.randn(v.shape).to(v.dtype), torch.randn(2, *q.shape).to(q.dtype)
        found |= {
            f"low rank {length}": (gla._forward_low_rank, (q, k, v, *gates, 0.1, 16.0)),
            f"low rank backward {length}": (gla._backward_low_rank, (grad, q, k, v, *gates, 0.1, 16.0)),
            f"logits {length}": (gla._forward_logits, (q, k, v, g, h, 0.1, 16.0)),
            f"log-decays {length}": (gla._forward, (q, k, v, g, g, 0.1)),
            f"one direction {length}": (gla._forward, (q, k, v, None, h, 0.1)),
            f"log-decays backward {length}": (gla._backward, (grad, q, k, v, g, h, 0.1)),
            f"unfused {length}": (triton_unfused._forward, (q, k, v, g, h, 0.1)),
            f"recurrent {length}": (triton_recurrent._forward, (q, k, v, g, h, 0.1)),
        }
        x, weight, bias = torch.randn(2, length, 96), torch.randn(2, 96, 4), torch.randn(2, 96)
        o, local, gate = torch.randn(3, length, 3, 64).unbind(0)
        w, u = torch.randn(2, 96).unbind(0)
        deltas, B, D = torch.rand(2, 2, length, 96), torch.randn(2, 2, length, 16), torch.randn(2, 96)
        scanned = (deltas + 1, deltas, -torch.rand(2, 96, 16), B, B, D, x, D, 0.5, True, False)
        found |= {
            f"conv {length}": (causal_conv._forward, (x, weight, bias, True)),
            f"conv backward {length}": (causal_conv._backward, (torch.randn(2, *x.shape), x, weight, bias, True)),
            f"gated norm {length}": (gated_norm._forward, (o, local, gate, o[0, 0], o[0, 1], 1e-6, True)),
            f"gated norm backward {length}": (gated_norm._backward, (o, o, local, gate, o[0, 0], o[0, 1], 1e-6, True)),
            f"biwkv {length}": (biwkv._forward, (w, u, x, x)),
            f"biwkv backward {length}": (biwkv._backward, (x, w, u, x, x.clone())),
            f"scan {length}": (scan._forward, scanned),
            f"scan backward {length}": (scan._backward, (torch.randn_like(x), *scanned)),
        }
    return found


CALLS = calls()


def starts_of(call: Call, plans: bool, times: int = 1) -> tuple[list[Start], Any]:
    """What the last of several calls starts, and its result, which keeps the memory of results apart."""
    starts: list[Start] = []
    with without_gpu(starts.append, plans):
        for _ in range(times):
            starts.clear()
            result = call[0](*call[1])
    return starts, result


def roles(starts: list[Start], given: tuple[Any, ...], result: Any) -> list[tuple[Any, ...]]:
    """Starts, with pointers into a tensor given as offsets into it; any other as where it was last seen, if at all."""
    storages = [x.untyped_storage() for x in given if isinstance(x, Tensor)]
    seen: dict[int, tuple[int, int]] = {}

    def role(value: Any, launch: int, place: int) -> Any:
        if not isinstance(value, int) or value < 2**32:
            return value
        for n, one in enumerate(storages):
            if one.data_ptr() <= value < one.data_ptr() + one.nbytes():
                return n, value - one.data_ptr()
        return "allocated"

    return [
        (start.kernel, start.grid, [role(value, n, place) for place, value in enumerate(start.values)])
        for n, start in enumerate(starts)
    ]


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("times", [1, 3])
def test_a_plan_starts_what_the_code_starts(name: str, times: int) -> None:
    call = CALLS[name]
    expected, result = starts_of(call, plans=False)
    found, again = starts_of(call, plans=True, times=times)
    assert expected
    assert roles(found, call[1], again) == roles(expected, call[1], result)
    assert [one.binary.hash for one in found] == [one.binary.hash for one in expected]
