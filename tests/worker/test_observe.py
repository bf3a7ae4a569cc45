"""What the worker measures of a prepared case, one stage after the other."""

import gc
from dataclasses import replace

from torch.profiler import profile

from vigbench.suites.case import Case
from vigbench.worker.observe import measure_call_memory, measure_call_timing
from vigbench.worker.prepare import prepare


def test_nothing_of_the_memory_stage_is_left_when_the_clock_starts() -> None:
    prepared = prepare(Case(subject="resnet18", resolution=32, threads=1), 0.1, lambda stage: None)
    profilers: list[int] = []

    def call() -> object:
        profilers.append(sum(type(one) is profile for one in gc.get_objects()))
        return prepared.call()

    watched = replace(prepared, call=call)
    gc.disable()  # a collection that happens to come would hide what is left
    try:
        measure_call_memory(watched)
        assert max(profilers) > 0, "the memory of a call is read off a profile"
        profilers.clear()
        measure_call_timing(watched, 0.1, calibrate=False)
    finally:
        gc.enable()
    assert set(profilers) == {0}
