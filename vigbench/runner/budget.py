"""How long each case may take, from the plan's estimate and from what the run has seen so far."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from vigbench.records.schema import Record, Status
from vigbench.suites.case import Case
from vigbench.suites.planner import CASE_OVERHEAD_S, MINIMUM_CALLS, MOST_SAMPLING_S, SAMPLING_CALLS

LEAST_S = 1.0  # of sampling for every case that runs at all
LEAST_LIMIT_S = 20.0  # no case is stopped before, however little time there is
FIRST_PLACES = 2  # up to here nothing that a case takes puts it back
PLACES_BACK = 6  # for each doubling of its time beyond an equal share
PATIENCE = 4  # times what a case should take, after which it is stopped while others wait


@dataclass
class Budget:
    """Seconds for a whole run, shared among its cases.

    Attributes:
        total_s: for the run.
        estimate_s: the plan's guess for a case.
        gmacs: 10^9 multiply-adds of one call of a case.
        processes: worker processes for each case.
        places: how soon each case should be measured where time is short, see `planner.places`.
    """

    total_s: float
    estimate_s: Callable[[Case], float]
    gmacs: Callable[[Case], float]
    processes: int = 1
    places: Mapping[Case, int] = field(default_factory=dict)
    _seconds_per_gmac: dict[str, float] = field(default_factory=dict)
    _estimated_s: float = 0.0
    _actual_s: float = 0.0
    _overhead_s: float | None = None  # the least that a process of a case took beside warm-up and timing

    def learn(self, record: Record) -> None:
        """Take a finished case into account."""
        spent = record.metrics.case_s
        if spent is not None:
            self._estimated_s += self.estimate_s(record.case)
            self._actual_s += spent
        if record.status is Status.ok and spent is not None and record.metrics.timing_s is not None:
            beside_s = spent - record.metrics.timing_s - (record.metrics.warmup_s or 0.0)
            once_s = beside_s / (record.metrics.attempts or 1) / self.processes
            self._overhead_s = once_s if self._overhead_s is None else min(once_s, self._overhead_s)
        latency = record.metrics.latency_ms
        gmacs = self.gmacs(record.case)
        if record.status is Status.ok and latency is not None and gmacs > 0:
            rate = latency / 1e3 / gmacs  # the best seen: a case that was disturbed says little of the next
            self._seconds_per_gmac[record.case.series] = min(rate, self._seconds_per_gmac.get(record.case.series, rate))

    @property
    def overhead_s(self) -> float:
        """Seconds that every process of a case takes beside its calls: the least seen, before that a guess."""
        return CASE_OVERHEAD_S if self._overhead_s is None else self._overhead_s

    def expected_s(self, case: Case) -> float:
        """The plan's guess, scaled by how wrong it has been so far."""
        seen = self._actual_s / self._estimated_s if self._estimated_s > 0 else 1.0
        return self.estimate_s(case) * seen

    def knows(self, case: Case) -> bool:
        """Whether a case of its series has been timed."""
        return case.series in self._seconds_per_gmac

    def least_s(self, case: Case) -> float:
        """The least time in which a case can end in a record: certain only once its series has one."""
        rate = self._seconds_per_gmac.get(case.series)
        once = self.overhead_s if rate is None else self.overhead_s + MINIMUM_CALLS * rate * self.gmacs(case)
        return self.processes * once

    def needed_s(self, case: Case) -> float:
        """What to keep for a case that is to come: its least, or without any of its series half of the plan's guess."""
        least_s = self.least_s(case)
        return least_s if self.knows(case) else max(least_s, self.expected_s(case) / 2)

    def sampling_s(self, case: Case, later: Sequence[Case], left_s: float) -> float:
        """Seconds of warm-up and sampling in each process of `case`; `later` cases still fit in what is left."""
        slack = left_s - self.least_s(case) - sum(map(self.needed_s, later))
        share = slack / (1 + len(later)) / self.processes
        minimum = SAMPLING_CALLS / MINIMUM_CALLS * (self.least_s(case) / self.processes - self.overhead_s)
        return min(MOST_SAMPLING_S, max(LEAST_S, share, minimum))

    def most_s(self, case: Case, later: Sequence[Case], left_s: float) -> float:
        """Seconds after which a case is stopped while others wait: several times what it should take, or its share."""
        share = left_s / (1 + len(later))
        return max(LEAST_LIMIT_S, PATIENCE * max(self.expected_s(case), self.least_s(case), share))

    def next_of(
        self, pending: Sequence[Case], left_s: float, set_aside: Collection[Case] = (), limit_s: float = math.inf
    ) -> Case:
        """The case to measure now.

        Where all are expected to fit, the quickest of the smallest size: each size is compared before the next. Where
        they do not, the one that matters most (`planner.places`). Behind the first of them, each doubling of a case's
        time beyond an equal share of what is left puts it some places back, so that none takes the time of many.

        Args:
            pending: at least one case.
            left_s: of the budget.
            set_aside: cases that come after all others, as do those that would take longer than `limit_s`, or than
                there is time, by what is known now: more of their series may tell otherwise.
            limit_s: after which a case is stopped.
        """
        most_s = min(left_s, limit_s * self.processes)
        in_time = [case for case in pending if self.least_s(case) <= most_s]
        ready = [case for case in in_time if case not in set_aside] or list(pending)
        times = {case: max(self.expected_s(case), self.least_s(case)) for case in ready}
        if sum(times.values()) <= left_s:
            return min(ready, key=lambda case: (case.extent, self.least_s(case)))
        share = max(LEAST_S, left_s / len(ready))

        def place(case: Case) -> float:
            at = self.places.get(case, 0)
            return at if at <= FIRST_PLACES else at + PLACES_BACK * max(0.0, math.log2(times[case] / share))

        return min(ready, key=place)
