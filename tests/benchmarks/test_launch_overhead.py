"""What a call costs the host, whatever the GPU then takes: Triton's whole way to a launcher, which does nothing here.

`pytest -s tests/benchmarks/test_launch_overhead.py` prints the tables of docs/kernels.md. Medians; the two sides of a
ratio take turns, so that what disturbs one disturbs the other.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest
import torch

pytest.importorskip("triton", reason="needs triton")

from tests.ops.anywhere import allow_anywhere
from tests.ops.no_driver import Start, without_gpu
from tests.ops.triton_calls import calls, low_rank_inputs
from vigbench.ops import dispatch
from vigbench.ops.gla import bidirectional_gla_low_rank
from vigbench.ops.gla import triton_fused as gla
from vigbench.ops.gla.kernels.settings import default_settings
from vigbench.ops.launch_plan import planned

CALLS = 100  # of one timing
ROUNDS = 41
DEFAULT = default_settings("9.0", torch.bfloat16, "forward")
Run = Callable[[], object]


@pytest.fixture(autouse=True)
def inference() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.inference_mode():
        yield
    torch.set_num_threads(before)


def microseconds(run: Run) -> float:
    """Of one call."""
    start = time.perf_counter()
    for _ in range(CALLS):
        run()
    return (time.perf_counter() - start) / CALLS * 1e6


def side_by_side(*runs: tuple[Run, bool]) -> list[list[float]]:
    """Microseconds of each, round by round; of each run also whether it uses plans."""

    def one(run: Run, plans: bool) -> float:
        with without_gpu(plans=plans):
            return microseconds(run)

    for each in runs:
        one(*each)
    return list(map(list, zip(*([one(*each) for each in runs] for _ in range(ROUNDS)), strict=True)))


def line(name: str, launches: int, slow: list[float], fast: list[float]) -> float:
    """Prints one line of a table; the median ratio."""
    ratio = statistics.median(x / y for x, y in zip(slow, fast, strict=True))
    medians = (statistics.median(x) for x in (slow, fast))
    print(f"| {name} | {launches} |", *(f"{x:.0f} |" for x in medians), f"{min(fast):.0f} | {ratio:.1f} |")
    return ratio


def test_plans_take_a_fraction_of_the_time() -> None:
    print("\n| call | launches | as written, us | by plan, us | fastest | ratio |\n|---|---|---|---|---|---|")
    for name, (function, args) in calls(196).items():
        starts: list[Start] = []
        with without_gpu(starts.append, plans=False):
            function(*args)
        run = partial(function, *args)
        assert line(name, len(starts), *side_by_side((run, False), (run, True))) >= 1.2, name


def test_what_is_around_a_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one call by a user: the checks, PyTorch's way to an operator that does nothing, and the plan."""
    args = low_rank_inputs(196)
    allow_anywhere(monkeypatch, "gla", "triton_fused")
    whole = partial(bidirectional_gla_low_rank, *args, normalizer=16.0, implementation="triton_fused")
    operator = partial(torch.ops.vigbench.gla_triton_fused_low_rank.default, *args, 0.1, 16.0)
    function = partial(gla._forward_low_rank, *args, 0.1, 16.0)
    given = (*args[:3], 0.1, DEFAULT, gla.low_rank_gates, *args[3:], 16.0)
    nothing = partial(planned(lambda q, *_: torch.empty(1, device=q.device)), *given)
    dispatch._select.cache_clear()
    runs = (whole, operator, function, nothing, lambda: torch.empty(1, 196, 3, 64, dtype=torch.bfloat16))
    times = side_by_side(*((run, True) for run in runs))
    dispatch._select.cache_clear()
    names = ("`bidirectional_gla_low_rank`", "the operator", "its function", "of it a plan's key", "one `torch.empty`")
    print("\n| part of a call | median, us | fastest, us |\n|---|---|---|")
    for name, one in zip(names, times, strict=True):
        print(f"| {name} | {statistics.median(one):.1f} | {min(one):.1f} |")
    assert statistics.median(times[0]) > statistics.median(times[2])
