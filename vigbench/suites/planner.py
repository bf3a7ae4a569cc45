"""From a suite to its cases, in the order in which they run, and an estimate of the time they take."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import product
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, create_model

from vigbench.nearest import did_you_mean, one_of
from vigbench.suites.axes import SWEPT, Device, Precision
from vigbench.suites.case import Case
from vigbench.suites.schema import DeviceSection, SubjectEntry, Suite

Resolve = Callable[[str, Sequence[str], Device, str], list[str]]
"""(subject, implementations that a suite names, device, args) -> those to measure; ValueError if unknown."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    if TYPE_CHECKING:  # fields like the other axes: these three code names
        resolution: Sequence[int | str] | None = None
        length: Sequence[int] | None = None
        shape: Sequence[str] | None = None


_fields: Any = {axis.name: (Sequence[Any] | None, None) for axis in SWEPT}
_Replaced = create_model("_Replaced", __base__=_Frozen, **_fields)


class Overrides(_Replaced):
    """What the command line replaces: any axis, and these; None keeps the suite's own setting."""

    if TYPE_CHECKING:

        def __init__(self, **settings: Any) -> None: ...

    subject: Sequence[str] | None = None
    implementation: Sequence[str] | None = None
    threads: int | None = None
    processes: int | None = None
    calibrate: bool | None = None
    budget: float | None = None
    case_timeout: float | None = None

    def but_for(self, *names: str) -> Overrides:
        """The same without what it says of these settings."""
        return Overrides(**{name: value for name, value in self if name not in names})

    def change_cases(self) -> bool:
        """Whether anything but the time limits is overridden."""
        return self.but_for("budget", "case_timeout") != Overrides()

    def applied_to(self, section: DeviceSection) -> DeviceSection:
        """The section with the overridden settings, checked like a suite file's.

        What is asked for is not left out: an exclusion ends to hold where all axes that it names are overridden.
        """
        known = DeviceSection.model_fields
        given = {name: value for name, value in self if name in known and value is not None}
        changes = {
            name: list(dict.fromkeys(value)) if isinstance(value, list | tuple) else value
            for name, value in given.items()
        }
        if "scan" in changes:  # a scan has its own size
            changes["resolution"] = None
        kept = [exclusion for exclusion in section.exclude if not exclusion.model_fields_set <= changes.keys()]
        return DeviceSection.model_validate({**section.model_dump(), **changes, "exclude": kept})


@dataclass(frozen=True)
class Plan:
    """The cases of one run, in order, its limits in seconds, and how each case is sampled.

    Attributes:
        processes: fresh worker processes for each case, so that the spread between processes is seen.
        calibrate: whether a fixed workload takes turns with the case, so that runs of different moments compare.
    """

    cases: tuple[Case, ...]
    budget_s: float
    case_timeout_s: float
    processes: int = 1
    calibrate: bool = False


def plan(suite: Suite, device: Device, resolve: Resolve, overrides: Overrides | None = None) -> Plan:
    """All cases of a suite on one kind of device.

    Cases run in order of resolution or length, so that an interrupted or exhausted run still compares every subject at
    the sizes that it reached.

    Raises:
        ValueError: if the suite has no section for the device, or a subject or implementation is unknown.
    """
    overrides = overrides or Overrides()
    section = overrides.applied_to(suite.section(device))
    entries = _select_subjects(suite, overrides.subject or section.subject)
    subjects: list[tuple[str, str, str, list[Mapping[str, Any]]]] = []
    offered: list[str] = []
    for entry in entries:
        if entry.args and section.sized_by() != ("resolution",):
            raise ValueError(f"{entry.name} is an operator, which has no constructor: leave its args out.")
        implementations = resolve(entry.name, entry.implementation or [], device, entry.args)
        offered += implementations
        extents = section.extents(None if overrides.shape else entry.shape)
        wanted = (name for name in implementations if _wanted(name, section.implementation))
        subjects += [(entry.name, entry.args, name, extents) for name in wanted]
    if not subjects:
        raise ValueError(
            f"No subject here has the implementation {one_of(section.implementation or ())}. They have: "
            f"{one_of(dict.fromkeys(offered))}."
        )
    # every other axis is crossed in the order of declaration; the size is the outermost
    others = [axis.name for axis in SWEPT if not axis.of_size]
    own_shapes = [shape for entry in entries if not overrides.shape for shape in entry.shape or ()]
    cases = [
        Case(
            subject=subject,
            args=args,
            implementation=implementation,
            device=device,
            threads=section.threads if device is Device.cpu else 0,
            **extent,
            **dict(zip(others, settings, strict=True)),
        )
        for extent in section.extents([*(section.shape or ()), *own_shapes])
        for settings in product(*(getattr(section, name) or [None] for name in others))
        for subject, args, implementation, extents in subjects
        if extent in extents
    ]
    cases = [case for case in cases if not any(exclusion.matches(case) for exclusion in section.exclude)]
    if not cases:
        raise ValueError(f"The exclusions of suite {suite.name} leave no case: change {device}.exclude, or the axes.")
    limits = (section.budget, section.case_timeout, section.processes, section.calibrate)
    return Plan(tuple(dict.fromkeys(cases)), *limits)


def places(cases: Sequence[Case]) -> dict[Case, int]:
    """How soon each case should be measured where time is short: 0 is the first.

    The ends of the range of sizes come before what lies between, the subjects and settings that a suite names first
    before the others: a case's place is the sum of those of its size, its subject and its settings.
    """
    sizes = {extent: place for place, extent in enumerate(ends_first(sorted({case.extent for case in cases})))}
    subjects = _in_order((case.subject, case.implementation) for case in cases)
    settings = _in_order(_settings(case) for case in cases)
    return {
        case: sizes[case.extent] + subjects[case.subject, case.implementation] + settings[_settings(case)]
        for case in cases
    }


def ends_first(values: Sequence[float]) -> list[float]:
    """The first, the last, then the middle of each gap, the widest first: 1, 5, 3, 2, 4 of 1 to 5."""
    found = list(dict.fromkeys([*values[:1], *values[-1:]]))
    gaps = [(0, len(values) - 1)]
    while gaps:
        first, last = gaps.pop(0)
        if last - first > 1:
            middle = (first + last) // 2
            found.append(values[middle])
            gaps += [(first, middle), (middle, last)]
    return found


def _settings(case: Case) -> tuple[Any, ...]:
    return tuple(getattr(case, axis.name) for axis in SWEPT if not axis.of_size)


def _in_order(names: Iterable[Any]) -> dict[Any, int]:
    """The place of each when it first came."""
    return {name: place for place, name in enumerate(dict.fromkeys(names))}


def _wanted(name: str, patterns: Sequence[str] | None) -> bool:
    return patterns is None or any(fnmatchcase(name, pattern) for pattern in patterns)


def _select_subjects(suite: Suite, patterns: Sequence[str] | None) -> list[SubjectEntry]:
    """The suite's subjects that match; an exact name that the suite lacks is added: any model can be asked for."""
    if patterns is None:
        return list(suite.subjects)
    names = [entry.name for entry in suite.subjects]
    chosen: list[SubjectEntry] = []
    for pattern in patterns:
        matching = [entry for entry in suite.subjects if fnmatchcase(entry.name, pattern)]
        if not matching and any(character in pattern for character in "*?["):
            raise ValueError(
                f"No subject of suite {suite.name} matches {pattern!r}{did_you_mean(pattern, names)} "
                f"Its subjects: {one_of(names)}."
            )
        chosen += matching or [SubjectEntry(name=pattern)]
    # an entry that two patterns match is one; two entries of one name stay two
    return [entry for number, entry in enumerate(chosen) if entry not in chosen[:number]]


# Multiply-adds per second that one CPU thread, or one recent data-centre GPU, reaches on these models. Only the
# estimate uses them; a run replaces them by what it sees.
_CPU_GMACS_PER_S_PER_THREAD = 30.0
_CUDA_GMACS_PER_S = {Precision.float32: 8_000.0, Precision.bfloat16: 40_000.0, Precision.float16: 40_000.0}
CASE_OVERHEAD_S = 1.5  # worker, model, counting
_CALL_OVERHEAD_S = {Device.cpu: 0.01, Device.cuda: 0.01}
_CALLS = {Device.cpu: 20, Device.cuda: 150}  # warm-up, memory, samples of a typical case
# Seconds for a token of GLA's reference, both directions: it launches some operators for each.
_REFERENCE_TOKEN_S = {Device.cpu: 3e-5, Device.cuda: 2e-4}
MINIMUM_CALLS = 12  # gate, path, memory, warm-up and the floor of samples: what a record costs at least
SAMPLING_CALLS = 8  # of them the last two
MOST_SAMPLING_S = 20.0  # for one case: beyond it a noisy machine does not get quieter


def estimate_s(case: Case, gmacs_per_image: float, threads: int, processes: int = 1) -> float:
    """Seconds that a case will take, give or take a factor of two. Nothing is measured.

    Args:
        case: what would run.
        gmacs_per_image: 10^9 multiply-adds of one forward pass of one image, or sequence.
        threads: CPU threads that the case would use.
        processes: worker processes for the case.
    """
    passes = case.passes
    rate = _CPU_GMACS_PER_S_PER_THREAD * threads if case.device is Device.cpu else _CUDA_GMACS_PER_S[case.precision]
    call = _CALL_OVERHEAD_S[case.device] + passes * gmacs_per_image * case.batch_size / rate
    if case.length is not None and case.implementation == "reference":
        call += passes * case.length * _REFERENCE_TOKEN_S[case.device]
    compiling = 30.0 if case.compile else 0.0
    once = CASE_OVERHEAD_S + compiling + max(MINIMUM_CALLS * call, min(_CALLS[case.device] * call, MOST_SAMPLING_S))
    return processes * once
