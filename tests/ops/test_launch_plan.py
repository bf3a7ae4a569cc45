"""Plans start the same kernels with the same arguments as the code that they repeat, whatever the tensors."""

import gc
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from threading import get_ident
from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch import Tensor

pytest.importorskip("triton", reason="needs triton")

from triton import knobs

from tests.ops.no_driver import DRIVER, Start, without_gpu
from tests.ops.triton_calls import Call, calls, low_rank_inputs
from tests.ptx.machine import Launch, Machine
from tests.ptx.memory import GlobalMemory
from tests.ptx.simulate import parsed
from vigbench.ops import kernel_launch, launch_plan
from vigbench.ops.gla import triton_fused as gla
from vigbench.ops.gla.kernels.settings import WALK, WALK_BACK
from vigbench.ops.launch_plan import planned
from vigbench.ops.launch_trace import Trace, leaves

LENGTHS = (40, 600)  # tokens, of one segment and of several
CALLS = {f"{name} {length}": call for length in LENGTHS for name, call in calls(length).items()}
START = kernel_launch.launch_kernel
LOWEST_ADDRESS = 2**22  # no program is loaded below, and no number here is as large


def starts_of(call: Call, plans: bool, times: int = 1) -> tuple[list[Start], Any]:
    """What the last of several calls starts, and its result, which keeps the memory of results apart."""
    starts: list[Start] = []
    with without_gpu(starts.append, plans):
        for _ in range(times):
            starts.clear()
            result = call[0](*call[1])
    return starts, result


def roles(starts: list[Start], given: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """Starts, with pointers into a tensor given as offsets into the first such one, and all others alike."""
    spans = [(x.untyped_storage().data_ptr(), x.untyped_storage().nbytes()) for x in given if isinstance(x, Tensor)]

    def role(value: Any) -> Any:
        if not isinstance(value, int) or value < LOWEST_ADDRESS:
            return value
        inside = [(n, value - first) for n, (first, size) in enumerate(spans) if first <= value < first + size]
        return inside[0] if inside else "allocated"

    return [(one.kernel, one.grid, one.binary.hash, [role(value) for value in one.values]) for one in starts]


@pytest.mark.parametrize("name", CALLS)
def test_a_plan_starts_what_the_code_starts(name: str) -> None:
    call = CALLS[name]
    expected, result = starts_of(call, plans=False)
    assert expected
    for times in (1, 3):
        found, again = starts_of(call, plans=True, times=times)
        assert roles(found, call[1]) == roles(expected, call[1])
        for x, y in zip(_tensors(again), _tensors(result), strict=True):
            assert (x.shape, x.stride(), x.dtype) == (y.shape, y.stride(), y.dtype)


@pytest.mark.parametrize("segment", [1000, 1])
def test_walks_have_plans_too(segment: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both phases of each, and, in segments, the walks before it."""
    forms = {"forward": WALK._replace(segment=segment), "backward": WALK_BACK._replace(segment=segment)}
    monkeypatch.setattr(gla, "settings_for", lambda *of: forms[of[-1]])
    given = low_rank_inputs(300)
    for call in ((gla._forward_low_rank, (*given, 0.1, 16.0)), (gla._backward_low_rank, (given[2], *given, 0.1, 16.0))):
        expected, _ = starts_of(call, plans=False)
        found, _ = starts_of(call, plans=True, times=2)
        assert roles(found, call[1]) == roles(expected, call[1])
        assert [one.kernel for one in found].count(found[-1].kernel) == 2


@pytest.mark.parametrize("name", CALLS)
def test_every_operator_has_a_plan(name: str) -> None:
    """The second call runs nothing of what allocates and launches."""
    call = CALLS[name]
    with without_gpu(), patch.object(kernel_launch, "launch_kernel") as launch:
        launch.side_effect = AssertionError("launched as written")
        with patch.object(kernel_launch, "launch_kernel", START):
            call[0](*call[1])
        call[0](*call[1])


def execute(start: Start) -> None:
    """What a GPU would do, by the machine for PTX."""
    program = parsed(start.binary.asm["ptx"])
    names = list(program.parameters)
    given = dict(zip(names, start.values + [0] * (len(names) - len(start.values)), strict=True))
    alive = [x for x in gc.get_objects() if type(x) is Tensor and x.device.type == "cpu"]
    memory = GlobalMemory([x for x in alive if not torch._C._functorch.is_functorch_wrapped_tensor(x)])
    sizes = start.binary.metadata.num_warps, start.binary.metadata.shared, given
    for z, y, x in product(*(range(n) for n in reversed(start.grid))):
        Machine(program, Launch((x, y, z), start.grid, *sizes), memory).run()


@pytest.mark.slow
@pytest.mark.parametrize("backward", [False, True])
def test_a_plan_computes_the_same_bits(backward: bool) -> None:
    """In segments, so that working memory holds all that it ever does, and on tensors that the plan was not made on."""
    given = [torch.randn(shape) for shape in (*[(1, 270, 1, 16)] * 3, (1, 270, 16), (2, 1, 16, 16), (2, 1, 16))]
    other = [torch.randn_like(x) for x in given]
    grad = [torch.randn_like(given[2])] if backward else []
    run = gla._backward_low_rank if backward else gla._forward_low_rank
    with without_gpu(execute, plans=False):
        expected = run(*grad, *given, 0.25, 16.0)
    with without_gpu(execute):
        assert not all(map(torch.equal, _tensors(run(*grad, *other, 0.25, 16.0)), _tensors(expected)))
        found = run(*grad, *given, 0.25, 16.0)
    assert all(map(torch.equal, _tensors(found), _tensors(expected)))


def compiled_for(*given: Tensor) -> list[str]:
    starts, _ = starts_of((gla._forward_low_rank, (*given, 0.1, 16.0)), plans=True, times=2)
    return [one.binary.hash for one in starts]


def test_an_address_that_is_no_multiple_of_16_gets_its_own_kernels() -> None:
    q, k, v, *gates = low_rank_inputs()
    shifted = torch.empty(q.numel() + 1, dtype=q.dtype)[1:].view(q.shape)
    plain, _ = starts_of((gla._forward_low_rank, (shifted, k, v, *gates, 0.1, 16.0)), plans=False)
    aligned = compiled_for(q.contiguous(), k, v, *gates)
    found = compiled_for(shifted, k, v, *gates)
    assert found == [one.binary.hash for one in plain]
    assert found[-1] != aligned[-1]
    assert compiled_for(q.contiguous(), k, v, *gates) == aligned


def test_dtypes_strides_and_numbers_get_their_own_plans() -> None:
    args = low_rank_inputs()
    seen = []
    for one in (
        args,
        [x.half() for x in args],
        [x.contiguous() for x in args],
        low_rank_inputs(41),
        low_rank_inputs(40, 2),
    ):
        for scale in (0.1, 0.2):
            call = gla._forward_low_rank, (*one, scale, 16.0)
            expected, _ = starts_of(call, plans=False)
            found, _ = starts_of(call, plans=True, times=2)
            assert roles(found, call[1]) == roles(expected, call[1])
            seen.append(str(roles(found, call[1])))
    assert len(set(seen)) == len(seen)


def test_starts_on_the_current_stream() -> None:
    call = gla._forward_low_rank, (*low_rank_inputs(), 0.1, 16.0)
    starts_of(call, plans=True)
    with patch.object(DRIVER, "stream", 17):
        starts, _ = starts_of(call, plans=True)
    assert {one.stream for one in starts} == {17}


def test_profilers_see_every_start() -> None:
    call = gla._forward_low_rank, (*low_rank_inputs(), 0.1, 16.0)
    starts_of(call, plans=True)
    seen: list[Any] = []
    with patch.object(knobs.runtime, "launch_enter_hook", seen.append):
        starts, _ = starts_of(call, plans=True)
    assert len(seen) == len(starts) > 0


def test_results_are_new_and_nothing_is_kept() -> None:
    args = low_rank_inputs()
    with without_gpu():
        first, second = (gla._forward_low_rank(*args, 0.1, 16.0) for _ in range(2))
        assert first.data_ptr() != second.data_ptr()
        before = sum(type(x) is Tensor and x.device.type == "cpu" for x in gc.get_objects())
        for _ in range(5):
            gla._forward_low_rank(*args, 0.1, 16.0)
        assert sum(type(x) is Tensor and x.device.type == "cpu" for x in gc.get_objects()) == before


def test_threads_do_not_disturb_each_other() -> None:
    calls_: list[Call] = [(gla._forward_low_rank, (*low_rank_inputs(100 + n), 0.1, 16.0)) for n in range(4)]
    expected = [roles(starts_of(call, plans=False)[0], call[1]) for call in calls_]
    starts: dict[int, list[Start]] = defaultdict(list)
    wrong: list[int] = []

    def work(number: int) -> None:
        call = calls_[number]
        for _ in range(50):
            call[0](*call[1])
            if roles(starts.pop(get_ident()), call[1]) != expected[number]:
                wrong.append(number)

    with without_gpu(lambda start: starts[get_ident()].append(start)), ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert not wrong


def test_what_computes_runs_as_it_is_written() -> None:
    runs = []

    @planned
    def double(x: Tensor) -> Tensor:
        runs.append(x.device.type)
        return x + x

    with without_gpu():
        for _ in range(3):
            assert torch.equal(double(torch.ones(3)), 2 * torch.ones(3))
    assert runs.count("cpu") == 3


def test_a_result_that_is_an_argument_runs_as_it_is_written() -> None:
    x = torch.ones(3)
    with without_gpu():
        for _ in range(2):
            assert planned(lambda y: y)(x) is x


def test_plans_are_bounded() -> None:
    traced = []

    @planned
    def allocate(x: Tensor, n: int) -> Tensor:
        traced.append(n)
        return torch.empty(x.shape, dtype=x.dtype, device=x.device)

    x = torch.ones(3)
    with without_gpu(), patch.object(launch_plan, "LIMIT", 4):
        for n in (0, 1, 2, 3, 3, 4, 0):
            assert allocate(x, n).shape == x.shape
    assert traced == [0, 1, 2, 3, 4, 0]


def test_working_memory_is_used_again_as_an_allocator_would() -> None:
    def pass_on(x: Tensor) -> Tensor:
        out = torch.empty(x.shape, device=x.device)
        for _ in range(5):
            work, other = torch.empty(1000, device=x.device), torch.empty(10, device=x.device)
            kernel_launch.launch_kernel(None, (1, 1, 1), x.device, (x, (work, other), out), {}, 4, 1)
        return out

    trace = Trace(pass_on, (torch.ones(3),))
    addresses = [[trace.address(x) for x in leaves(one.args)] for one in trace.launches]
    assert addresses == [[(0, 0), (2, 0), (2, 4096), (1, 0)]] * 5
    assert trace.working_bytes == 4096 + 512


def _tensors(result: Any) -> list[Tensor]:
    return [result] if isinstance(result, Tensor) else result
