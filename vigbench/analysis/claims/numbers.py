"""A claim's number from those of both sides, with its interval, and how it is written."""

from __future__ import annotations

import math

from vigbench.analysis.claims.evidence import Amount
from vigbench.analysis.claims.schema import Claim, Form, Quantity


def scaled(amount: Amount, share: float) -> Amount:
    """The amount times a share."""
    return Amount(amount.value * share, amount.low * share, amount.high * share, amount.source)


def combine(claim: Claim, ours: Amount, theirs: Amount | None) -> Amount:
    """Both sides in the claim's form; independent, so that their relative (of points: absolute) errors add in squares.

    A claim about a value has no other side.
    """
    if theirs is None:
        assert claim.form is Form.value
        return scaled(ours, 1e-6) if claim.quantity is Quantity.params else ours
    if claim.form is Form.points_more:
        value = ours.value - theirs.value
        down = math.hypot(ours.value - ours.low, theirs.high - theirs.value)
        up = math.hypot(ours.high - ours.value, theirs.value - theirs.low)
        return Amount(value, value - down, value + up, ours.source)
    ratio = theirs.value / ours.value
    down = math.hypot(math.log(ours.high / ours.value), math.log(theirs.value / theirs.low))
    up = math.hypot(math.log(ours.value / ours.low), math.log(theirs.high / theirs.value))
    return in_form(claim, Amount(ratio, ratio * math.exp(-down), ratio * math.exp(up), ours.source))


def in_form(claim: Claim, ratio: Amount) -> Amount:
    """Theirs over ours in the claim's form: times, percent of, or percent saved."""
    if claim.form is Form.times_less:
        return ratio
    shares = [100 / one for one in (ratio.value, ratio.high, ratio.low)]  # the largest ratio is the smallest share
    if claim.form is Form.percent_of:
        return Amount(shares[0], shares[1], shares[2], ratio.source)
    assert claim.form is Form.percent_saved
    return Amount(100 - shares[0], 100 - shares[2], 100 - shares[1], ratio.source)


def text_of(claim: Claim, amount: Amount) -> str:
    """The number with its unit, and its interval where it has one: `4.0x (3.9 to 4.1)`."""
    text, unit = _digits(claim, amount.value), unit_of(claim)
    if amount.low == amount.high:
        return text + unit
    return f"{text}{unit} ({_digits(claim, amount.low)} to {_digits(claim, amount.high)})"


def _digits(claim: Claim, value: float) -> str:
    if claim.form is Form.points_more:
        return f"{value:+.1f}"
    if claim.form is Form.value:
        return f"{value:.4g}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def unit_of(claim: Claim) -> str:
    """What follows the digits of a claim's number."""
    if claim.form is Form.value:
        return {Quantity.params: " million", Quantity.gmacs: " GMACs"}.get(claim.quantity, "%")
    if claim.form is Form.times_less:
        return "x"
    return " points" if claim.form is Form.points_more else "%"
