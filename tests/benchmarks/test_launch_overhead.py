"""What a call costs the host, whatever the GPU then takes: Triton's whole way to a launcher, which does nothing here.

`pytest -s tests/benchmarks/test_launch_overhead.py` prints the tables of docs/kernels.md. Medians; the two sides of a
ratio take turns, so that what disturbs one disturbs the other.
"""

import gc
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor

pytest.importorskip("triton", reason="needs triton")

from tests.ops.no_driver import Start, without_gpu
from tests.ops.triton_calls import calls, low_rank_inputs
from vigbench.ops import dispatch, registry
from vigbench.ops.custom_operator import Cost, define_operator
from vigbench.ops.gla import bidirectional_gla_low_rank
from vigbench.ops.launch_plan import Plan

CALLS = 100  # of one timing
ROUNDS = 41
SCHEMA = "Tensor q, Tensor k, Tensor v, Tensor a, Tensor weight, Tensor bias, float scale, float normalizer"
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
    """The operator in PyTorch's dispatcher, beside one by torch.library.custom_op, and what users call."""
    args = low_rank_inputs(196)

    def nothing(
        q: Tensor, k: Tensor, v: Tensor, a: Tensor, weight: Tensor, bias: Tensor, scale: float, normalizer: float
    ) -> Tensor:
        return v.new_empty(0)

    def cost(*_: object) -> int:
        return 0

    ours = define_operator("nothing", nothing, lambda *_: [], Cost(cost, cost, cost, cost), SCHEMA)
    torch.library.custom_op("vigbench::nothing_custom", nothing, mutates_args=())
    custom = torch.ops.vigbench.nothing_custom.default
    print("\n| call | launches | before, us | after, us | fastest | ratio |\n|---|---|---|---|---|---|")
    runs = [partial(one, *args, 0.1, 16.0) for one in (custom, ours)]
    assert line("an operator that does nothing", 0, *side_by_side((runs[0], True), (runs[1], True))) >= 1
    anywhere = replace(registry.get_implementation("gla", "triton_fused"), devices=())
    monkeypatch.setitem(registry._IMPLEMENTATIONS["gla"], "triton_fused", anywhere)
    dispatch._select.cache_clear()
    whole = partial(bidirectional_gla_low_rank, *args, normalizer=16.0, implementation="triton_fused")
    assert line("`bidirectional_gla_low_rank`", 3, *side_by_side((whole, False), (whole, True))) >= 1.2
    dispatch._select.cache_clear()


def test_a_further_launch() -> None:
    """What one more kernel of a plan costs: its arguments put together, and Triton's own way to the launcher."""
    function, args = calls(196)["low rank"]
    with without_gpu():
        function(*args), function(*args)
        (plan,) = [x for x in gc.get_objects() if isinstance(x, Plan) and len(x.starters) == 3][-1:]
        addresses = [x.data_ptr() for x in args if isinstance(x, Tensor)] + [0, 0]
        (start, _, _), (given, _, _) = plan.starters, plan.arguments.of_compiled(addresses)
        arguments = statistics.median(
            microseconds(lambda: plan.arguments.of_compiled(addresses)) for _ in range(ROUNDS)
        )
        launcher = statistics.median(microseconds(lambda: start(*given, stream=0)) for _ in range(ROUNDS))
    print(f"\narguments of three kernels: {arguments:.1f} us; one start: {launcher:.1f} us")
    assert arguments / 3 + launcher < 100
