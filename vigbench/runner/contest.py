"""Inside the worker: a contestant times blocks of calls on command, in turns with another worker."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

from vigbench.measure.latency import timed
from vigbench.runner.failures import guarded
from vigbench.runner.messages import Block, Durations, Message, Outcome, Ready
from vigbench.runner.prepare import call_to_time, prepare
from vigbench.suites.case import Case

REFRESH_BELOW_S = 0.5  # shorter calls are preceded by an untimed one: the other contestant has had the caches


def contest(case: Case, budget_s: float, say: Callable[[Message], None], next_block: Callable[[], Block]) -> None:
    """Prepare the case by the protocol, say `Ready`, then time blocks until the coordinator ends this process.

    A contestant that fails, before or in a block, says its outcome instead.
    """

    def take_part() -> Outcome:
        prepared = prepare(case, budget_s, lambda _: None)
        timed_call = timed(call_to_time(prepared), prepared.synchronize)
        call_s = median(timed_call() for _ in range(3))
        say(Ready(call_s=call_s))
        while True:
            block = next_block()
            if call_s < REFRESH_BELOW_S:
                timed_call()
            say(Durations(seconds=tuple(timed_call() for _ in range(block.calls))))

    say(guarded(case, take_part))
