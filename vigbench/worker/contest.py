"""A contestant times blocks of calls on command, in turns with another worker."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

from vigbench.measure.latency import timed
from vigbench.records.schema import Status
from vigbench.suites.case import Case
from vigbench.worker.failures import guarded
from vigbench.worker.messages import BlockRequest, Durations, Message, Outcome, Ready
from vigbench.worker.prepare import call_to_time, prepare, prove_path

REFRESH_BELOW_S = 0.5  # shorter calls are preceded by an untimed one: the other contestant has had the caches


def contest(
    case: Case, budget_s: float, say: Callable[[Message], None], next_block: Callable[[], BlockRequest]
) -> None:
    """Prepare the case by the protocol, say `Ready`, then time blocks until one of no calls asks for the path's proof.

    A contestant that fails, before or in a block, says its outcome instead of what was asked.
    """

    def take_part() -> Outcome:
        prepared = prepare(case, budget_s, lambda _: None)
        timed_call = timed(call_to_time(prepared)[0], prepared.synchronize)
        call_s = median(timed_call() for _ in range(3))
        say(Ready(call_s=call_s))
        while (block := next_block()).calls:
            if call_s < REFRESH_BELOW_S:
                timed_call()
            say(Durations(seconds=tuple(timed_call() for _ in range(block.calls))))
        del timed_call  # and with it the memory of a CUDA graph
        prove_path(prepared)
        say(Durations(seconds=()))
        return Outcome(status=Status.ok)

    say(guarded(case, take_part))
