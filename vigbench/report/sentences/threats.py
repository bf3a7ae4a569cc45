"""What could make this run's conclusions wrong: said from the marks of its records and from its environment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vigbench.analysis.disturbance import find_falls
from vigbench.records.schema import Status, names_in
from vigbench.report.findings import Findings
from vigbench.report.metrics import LATENCY, percent
from vigbench.report.names import Info, device_of
from vigbench.report.rows import Row, brief_texts
from vigbench.stats.hierarchical import UNSEEN_SPREAD

MOST_CASES = 4
NOTICED_LOAD = 0.02


@dataclass(frozen=True)
class Threat:
    """A heading, what it means for the conclusions, and some of the cases."""

    name: str
    meaning: str
    cases: str = ""


MARKS = {
    "contended": "Something else used the machine while these were measured, twice. Their times are too long by an "
    "unknown amount: no conclusion on this page rests on them.",
    "throttled": "Power or heat lowered the clocks: these are times of a slower device than the others'.",
    "not_converged": "The 95% interval stayed wider than the rule asks for. Differences smaller than it are open.",
    "unsteady": "Times shifted while they were taken: a clock dropped, or another job started. The median mixes both.",
    "launch_bound": "The GPU waited for the CPU: these are times of the host. A larger batch or a CUDA graph shows the "
    "device's own.",
    "launch_exposed": "Launches could not be hidden behind the device's work. Kernel time is the sum of kernels in the "
    "profiler (see kernel_time_source), without the pauses between them that others' includes: a few percent "
    "between the two kinds mean nothing.",
    "unverified": "The reference did not fit, or the model differs from run to run: no output was checked against it.",
    "flops_disputed": "Two independent counters of multiply-adds differ by more than 0.5%: rates and counts are open.",
}
NOT_MEASURED = {
    Status.out_of_memory: "did not fit into memory",
    Status.timeout: "took longer than allowed",
    Status.pruned: "were left out since a smaller case of the series had failed or the time was spent",
}


FALLS = (
    "These grow with the size, yet a smaller size has more, beyond both intervals. No conclusion on this page rests on "
    "values that are not known to be right."
)
SURVIVORS = "What is fastest at a large size is the fastest of those that got there."
ONE_RUN = Threat(
    "One run on one machine",
    "Another device, driver or version of torch can rank otherwise. Nothing here compares this one with others.",
)
SAME_DEVICE = Threat(
    "Several runs, one device",
    "They were measured at different moments. A difference between them includes what the machine did meanwhile.",
)
SEVERAL_DEVICES = Threat(
    "Several devices",
    "Beside the device, versions and settings may differ: compare the environments below before the numbers.",
)
ONE_PROCESS = Threat(
    "One process a case",
    "Intervals hold what varied while one process was sampled, not what varies from process to process. Where two runs "
    "are compared, a standard deviation of {assumed} is assumed for that: a smaller difference may be none.",
)
MINUTES_APART = Threat(
    "Minutes apart",
    "Cases ran one after the other, so that each ratio has in it what the machine did in between. vigbench duel lets "
    "two subjects take turns.",
)
CPU_ONLY = Threat(
    "A CPU, not a GPU",
    "What pays off on a GPU, where launches and the memory's bandwidth decide more often, has to be measured on one.",
)
RANKS = Threat(
    "Ranks on one machine",
    "They exchange through its memory, or between its GPUs: this shows that their results are right, how much they "
    "send, and how far computing hides that. It is no claim about a network between machines: vigbench scaling --ranks "
    "works out what its bandwidth would make of it.",
)
RANDOM_INPUTS = Threat(
    "Random inputs",
    "Inputs are normal noise. This is speed and memory, not accuracy: nothing here says how good predictions are.",
)


def threats(findings: Findings) -> list[Threat]:
    """Everything that holds of these runs, marks first; nothing of runs without a case."""
    rows, infos = findings.cases.rows, findings.infos
    if not rows:
        return []
    return [*_of_marks(rows), *_of_falls(rows), *_of_missing(rows), *_of_design(rows, infos)]


def _of_marks(rows: Sequence[Row]) -> list[Threat]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        for mark in names_in(row["marks"]):
            found.setdefault(mark, []).append(row)
    order = [*(name for name in MARKS if name in found), *sorted(set(found) - set(MARKS))]
    return [
        Threat(
            f"{mark.replace('_', ' ').capitalize()}: {_count(found[mark], rows)}",
            MARKS.get(mark, "See this mark in docs/measurement.md."),
            _cases(found[mark]),
        )
        for mark in order
    ]


def _of_falls(rows: Sequence[Row]) -> list[Threat]:
    falls = find_falls(rows)
    if not falls:
        return []
    brief = brief_texts(list({row["setting"]: None for row in rows}))
    texts = []
    for fall in falls[:MOST_CASES]:
        setting, label = fall.smaller["setting"], fall.smaller["label"]
        texts.append(fall.sentence(f"{label} ({brief[setting]})" if len(brief) > 1 else label).removesuffix("."))
    more = len(falls) - len(texts)
    named = "; ".join(texts) + (f"; and {more:,} more" if more else "")
    return [Threat(f"Falls where it must rise: {len(falls):,} time{'s' * (len(falls) > 1)}", FALLS, named)]


def _of_missing(rows: Sequence[Row]) -> list[Threat]:
    result = []
    for status, what in NOT_MEASURED.items():
        lost = [row for row in rows if row["status"] == status]
        if lost:
            name = f"{status.replace('_', ' ').capitalize()}: survivors are compared"
            result.append(Threat(name, f"{_count(lost, rows)} {what}. {SURVIVORS}", _cases(lost)))
    return result


def _of_design(rows: Sequence[Row], infos: Sequence[Info]) -> list[Threat]:
    devices = {device_of(info) for info in infos}
    result = [ONE_RUN if len(infos) == 1 else SAME_DEVICE if len(devices) == 1 else SEVERAL_DEVICES]
    if any(row[LATENCY.column] is not None for row in rows):
        result += _of_time(rows, infos)
    if {row["device"] for row in rows} == {"cpu"}:
        result.append(CPU_ONLY)
    if any((row["ranks"] or 1) > 1 for row in rows):
        result.append(RANKS)
    return [*result, RANDOM_INPUTS]


def _of_time(rows: Sequence[Row], infos: Sequence[Info]) -> list[Threat]:
    result = []
    if any((info.get("processes") or 1) == 1 for info in infos):
        devices = {row["device"] for row in rows} & set(UNSEEN_SPREAD)
        assumed = " and ".join(f"{UNSEEN_SPREAD[device]:.0%} ({device})" for device in sorted(devices))
        result.append(Threat(ONE_PROCESS.name, ONE_PROCESS.meaning.format(assumed=assumed)))
    result.append(MINUTES_APART)
    loads = sorted(load for row in rows if (load := _share(row["other_load"])) is not None)
    if loads and loads[-1] > NOTICED_LOAD:
        shares = f"up to {percent(loads[-1])} of the machine's CPU just before a case was timed (median "
        result.append(Threat("A shared machine", f"Other processes used {shares}{percent(loads[len(loads) // 2])})."))
    return result


def _share(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _count(some: Sequence[Row], rows: Sequence[Row]) -> str:
    return f"{len(some):,} of {len(rows):,} case{'s' * (len(rows) != 1)}"


def _cases(found: Sequence[Row]) -> str:
    brief = brief_texts(list({row["setting"]: None for row in found}))
    texts = []
    for row in found[:MOST_CASES]:
        setting = row["setting"]
        text = f"{row['label']} at {setting.sweep.text(row['extent'])}"
        texts.append(f"{text} ({brief[setting]})" if len(brief) > 1 else text)
    more = len(found) - MOST_CASES
    return ", ".join(texts) + (f" and {more:,} more" if more > 0 else "")
