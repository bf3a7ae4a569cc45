"""Does what was measured support a claim, refute it, or leave it open?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import pandas as pd

from vigbench.analysis.claims.commands import command
from vigbench.analysis.claims.evidence import (
    IMAGENET_IMAGES,
    Amount,
    Counts,
    Evidence,
    on_any_machine,
    on_each_device,
    rows_of,
)
from vigbench.analysis.claims.judged import Beside, ClaimVerdict, Judged, JudgedPoint
from vigbench.analysis.claims.schema import (
    Claim,
    ClaimPoint,
    ClaimSide,
    CountedShare,
    Form,
    Other,
    Quantity,
    Sense,
    load_claims,
)
from vigbench.records.accuracy import Accuracy
from vigbench.records.duel import Duel
from vigbench.records.schema import Status
from vigbench.suites.axes import Device


def judge_claims(
    frame: pd.DataFrame | None = None,
    *,
    duels: Sequence[Duel] = (),
    accuracies: Sequence[Accuracy] = (),
    counts: Counts | None = None,
    claims: Sequence[Claim] | None = None,
) -> list[Judged]:
    """Hold published claims against what is known.

    Args:
        frame: of `load_results`.
        duels: ratios that were measured in turns; only these decide a claim about speed.
        accuracies: evaluations of checkpoints.
        counts: parameters and multiply-adds of models; where they lack, those of the records. If given, what ranks
            send is counted, too, where no record has it.
        claims: which; default: all.

    Returns:
        One for each claim, in their order; for each claim about a device's speed or memory one for each device.
    """
    rows = rows_of(frame)
    anywhere, devices = on_any_machine(rows, accuracies, counts), on_each_device(rows, duels)
    judged: list[Judged] = []
    for claim in load_claims() if claims is None else claims:
        if claim.lacks:
            judged.append(_judged(claim, anywhere, _left_open))
            continue
        if not claim.quantity.needs_gpu:
            judge = _judge_count if claim.quantity.is_counted else _judge_accuracy
            judged.append(_judged(claim, anywhere, judge))
            continue
        found = [_judged(claim, evidence, _judge_on_device) for evidence in devices]
        # a device that has seen none of its cases adds nothing
        judged += [one for one in found if any(point.measured or point.beside for point in one.points)] or found[:1]
    return judged


def _judged(claim: Claim, evidence: Evidence, judge: Callable[[Claim, ClaimPoint, Evidence], JudgedPoint]) -> Judged:
    return Judged(claim, evidence.device_name, tuple(judge(claim, point, evidence) for point in claim.points))


def verdict_on(claim: Claim, published: float, measured: Amount) -> ClaimVerdict:
    """Whether the whole interval of what was measured fits, or none of it.

    With p the published number and t the claim's tolerance: at least p - t, at most p + t, or between both.
    """
    allowed = claim.allowed(published)
    least = -float("inf") if claim.sense is Sense.at_most else published - allowed
    most = float("inf") if claim.sense is Sense.at_least else published + allowed
    strict = bool(claim.printed)  # `less` and `faster` do not hold for a tie
    if measured.low >= least and measured.high <= most and not (strict and published in (measured.low, measured.high)):
        return ClaimVerdict.supported
    return ClaimVerdict.refuted if measured.high < least or measured.low > most else ClaimVerdict.open


def _left_open(claim: Claim, point: ClaimPoint, _: Evidence) -> JudgedPoint:
    return JudgedPoint(point, ClaimVerdict.open, claim.lacks, None, (), command(claim, point))


def _judge_count(claim: Claim, point: ClaimPoint, evidence: Evidence) -> JudgedPoint:
    measured, again = _combined(evidence, claim, point), command(claim, point)
    if measured is None:
        return JudgedPoint(point, ClaimVerdict.open, "no record has its count", None, (), again)
    return _decided(claim, point, measured, _as_the_paper_counts(claim, point, evidence), again)


def _judge_accuracy(claim: Claim, point: ClaimPoint, evidence: Evidence) -> JudgedPoint:
    measured, again = _combined(evidence, claim, point), command(claim, point)
    if measured is None:
        return JudgedPoint(point, ClaimVerdict.open, _needs(claim), None, (), again)
    if not evidence.is_imagenet(claim, point):
        reason, elsewhere = f"needs the {IMAGENET_IMAGES:,} images of ImageNet-1K", Beside("on other images", measured)
        return JudgedPoint(point, ClaimVerdict.open, reason, None, (elsewhere,), again)
    return _decided(claim, point, measured, (), again)


def _judge_on_device(claim: Claim, point: ClaimPoint, evidence: Evidence) -> JudgedPoint:
    again = command(claim, point)
    measured = _compared(evidence, claim, claim.ours, claim.theirs, point)
    others = _others(evidence, claim, point)
    if evidence.device != Device.cuda:
        against = f", against {claim.theirs}" if claim.theirs and claim.theirs.label else ""
        here = [Beside(f"on {evidence.device_name}, batch 1{against}", measured)] if measured else []
        return JudgedPoint(point, ClaimVerdict.open, "decided on a GPU", None, (*here, *others), again)
    if measured is None:
        return JudgedPoint(point, ClaimVerdict.open, _missing(evidence, claim, point), None, others, again)
    if claim.quantity is Quantity.latency_ms and measured.source == "run":
        hint = Beside("by cases minutes apart", measured)
        reason = ("its cases were disturbed, and " if measured.disturbed else "") + "a ratio of speeds needs a duel"
        return JudgedPoint(point, ClaimVerdict.open, reason, None, (hint, *others), again)
    if measured.disturbed:
        hint = Beside("by a run", measured)
        reason = "its memory falls where it must rise with the size"
        return JudgedPoint(point, ClaimVerdict.open, reason, None, (hint, *others), again)
    return _decided(claim, point, measured, others, again)


def _decided(claim: Claim, point: ClaimPoint, measured: Amount, beside: tuple[Beside, ...], again: str) -> JudgedPoint:
    verdict = verdict_on(claim, point.published, measured)
    reason = "the interval holds both" if verdict is ClaimVerdict.open else ""
    return JudgedPoint(point, verdict, reason, measured, beside, again)


def _missing(evidence: Evidence, claim: Claim, point: ClaimPoint) -> str:
    """Why there is no number, in words."""
    for side in (claim.ours, claim.theirs):
        row = evidence.best_row(claim, side, point) if side else None
        if row is not None and row["status"] != Status.ok:
            return f"{side} ended {str(row['status']).replace('_', ' ')} at {point.extent} {point.unit}"
    return "not measured here"


def _needs(claim: Claim) -> str:
    return f"needs {'both checkpoints' if claim.theirs else 'the checkpoint'} and ImageNet-1K"


def _others(evidence: Evidence, claim: Claim, point: ClaimPoint) -> tuple[Beside, ...]:
    found = []
    for other in claim.beside:
        ours, theirs = other.ours or claim.ours, other.theirs or claim.theirs
        if amount := _compared(evidence, claim, ours, theirs, point):
            decides = evidence.device == Device.cuda and not amount.disturbed
            verdict = verdict_on(claim, point.published, amount) if decides else None
            found.append(Beside(_other_label(other), amount, verdict))
    return tuple(found)


def _other_label(other: Other) -> str:
    sides = {"with": other.ours, "against": other.theirs}
    return " ".join(f"{word} {side}" for word, side in sides.items() if side)


def _as_the_paper_counts(claim: Claim, point: ClaimPoint, evidence: Evidence) -> tuple[Beside, ...]:
    """The same number where the paper's way of counting is not the rule."""
    amount = _combined(evidence, claim, point, claim.counted_share) if claim.counted_share else None
    return (Beside("as the paper counts", amount, verdict_on(claim, point.published, amount)),) if amount else ()


def _combined(evidence: Evidence, claim: Claim, point: ClaimPoint, share: CountedShare | None = None) -> Amount | None:
    share = share or CountedShare()
    ours = evidence.amount(claim, claim.ours, point)
    if claim.theirs is None:
        return None if ours is None else _combine(claim, _scaled(ours, share.ours), None)
    theirs = evidence.amount(claim, claim.theirs, point)
    if ours is None or theirs is None:
        return None
    return _combine(claim, _scaled(ours, share.ours), _scaled(theirs, share.theirs))


def _compared(
    evidence: Evidence, claim: Claim, ours: ClaimSide, theirs: ClaimSide | None, point: ClaimPoint
) -> Amount | None:
    """A ratio from a duel where there is one, else from records."""
    assert theirs is not None
    if claim.quantity is Quantity.latency_ms and (ratio := evidence.duel(claim, ours, theirs, point)):
        return ratio
    our_amount, their_amount = (evidence.amount(claim, side, point) for side in (ours, theirs))
    return _combine(claim, our_amount, their_amount) if our_amount and their_amount else None


def _scaled(amount: Amount, share: float) -> Amount:
    """The amount times a share."""
    return replace(amount, value=amount.value * share, low=amount.low * share, high=amount.high * share)


def _combine(claim: Claim, ours: Amount, theirs: Amount | None) -> Amount:
    """Both sides in the claim's form; independent, so that their relative (of points: absolute) errors add in squares.

    A claim about a value has no other side.
    """
    if theirs is None:
        assert claim.form is Form.value
        return _scaled(ours, 1e-6) if claim.quantity is Quantity.params else ours
    disturbed = ours.disturbed or theirs.disturbed
    if claim.form is Form.points_more:
        value = ours.value - theirs.value
        down = math.hypot(ours.value - ours.low, theirs.high - theirs.value)
        up = math.hypot(ours.high - ours.value, theirs.value - theirs.low)
        return Amount(value, value - down, value + up, ours.source, disturbed)
    ratio = theirs.value / ours.value
    down = math.hypot(math.log(ours.high / ours.value), math.log(theirs.value / theirs.low))
    up = math.hypot(math.log(ours.value / ours.low), math.log(theirs.high / theirs.value))
    return _in_form(claim, Amount(ratio, ratio * math.exp(-down), ratio * math.exp(up), ours.source, disturbed))


def _in_form(claim: Claim, ratio: Amount) -> Amount:
    """Theirs over ours in the claim's form: times, percent of, or percent saved."""
    if claim.form is Form.times_less:
        return ratio
    shares = [100 / one for one in (ratio.value, ratio.high, ratio.low)]  # the largest ratio is the smallest share
    if claim.form is Form.percent_of:
        return replace(ratio, value=shares[0], low=shares[1], high=shares[2])
    assert claim.form is Form.percent_saved
    return replace(ratio, value=100 - shares[0], low=100 - shares[2], high=100 - shares[1])
