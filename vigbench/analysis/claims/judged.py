"""A claim with its verdict: what was published, what was measured, and what stands beside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from vigbench.analysis.claims.evidence import Amount
from vigbench.analysis.claims.schema import Claim, ClaimPoint, Form, Quantity


class ClaimVerdict(StrEnum):
    """What the numbers say of a claim."""

    supported = "supported"
    refuted = "refuted"
    open = "open"


@dataclass(frozen=True)
class Beside:
    """A number that decides nothing: another way of counting, another implementation, this CPU.

    Attributes:
        label: what it is.
        amount: in the claim's form.
        verdict: what it would be by this number; None where that cannot be asked.
    """

    label: str
    amount: Amount
    verdict: ClaimVerdict | None = None


@dataclass(frozen=True)
class JudgedPoint:
    """One of a claim's numbers.

    Attributes:
        measured: in the claim's form; None where nothing decides.
        reason: why the verdict is open; empty otherwise.
        command: measures it again; empty where vigbench cannot.
    """

    point: ClaimPoint
    verdict: ClaimVerdict
    reason: str
    measured: Amount | None
    beside: tuple[Beside, ...]
    command: str


@dataclass(frozen=True)
class Judged:
    """A claim on one device; supported if all its points are, refuted if one is."""

    claim: Claim
    device: str
    points: tuple[JudgedPoint, ...]

    @property
    def verdict(self) -> ClaimVerdict:
        """The worst of its points': refuted before open before supported."""
        found = {point.verdict for point in self.points}
        return next(one for one in (ClaimVerdict.refuted, ClaimVerdict.open, ClaimVerdict.supported) if one in found)

    @property
    def reason(self) -> str:
        """Why it is open, or which points are refuted; empty for a supported claim."""
        if self.verdict is ClaimVerdict.refuted:
            wrong = [str(point.point.extent) for point in self.points if point.verdict is ClaimVerdict.refuted]
            return f"at {', '.join(wrong)} {self.points[0].point.unit}" if len(self.points) > 1 else ""
        return "; ".join(dict.fromkeys(point.reason for point in self.points if point.reason))

    @property
    def holds_as_counted(self) -> bool:
        """Whether it is refuted, but every refuted point supported in the paper's own way of counting."""
        refuted = [point for point in self.points if point.verdict is ClaimVerdict.refuted]
        return bool(self.claim.counted and refuted) and all(
            any(other.verdict is ClaimVerdict.supported for other in point.beside) for point in refuted
        )

    @property
    def published(self) -> str:
        """The published numbers in words."""
        return self._at_points([published_text(self.claim, point.point) for point in self.points])

    @property
    def measured_text(self) -> str:
        """The measured numbers in words, each with its interval; empty without one."""
        return self._at_points(
            [_text_of(self.claim, point.measured) if point.measured else "" for point in self.points]
        )

    @property
    def beside_text(self) -> str:
        """The numbers beside in words."""
        labels = dict.fromkeys(other.label for point in self.points for other in point.beside)
        return "; ".join(f"{label}: {self._beside_text(label)}" for label in labels)

    def beside_at(self, point: JudgedPoint) -> str:
        """The numbers beside one of its points in words."""
        return Judged(self.claim, self.device, (point,)).beside_text

    def _beside_text(self, label: str) -> str:
        found = [next((other for other in point.beside if other.label == label), None) for point in self.points]
        numbers = self._at_points([_number_text(self.claim, other) if other else "" for other in found])
        verdicts = {other.verdict for other in found if other} - {None}
        if not verdicts:
            return numbers
        if len(verdicts) == 1:
            return f"{numbers}: {verdicts.pop()}"
        return (
            f"{numbers}: {self._at_points([str(other.verdict) if other and other.verdict else '' for other in found])}"
        )

    @property
    def command(self) -> str:
        """Measures it again; of several points the first that is not decided."""
        return next(
            (point.command for point in self.points if point.verdict is ClaimVerdict.open), self.points[0].command
        )

    def _at_points(self, texts: Sequence[str]) -> str:
        """`1.67x at 512, 3.99x at 1024 px`: the unit of sizes once."""
        pairs = [(text, point.point) for text, point in zip(texts, self.points, strict=True) if text]
        if len(self.points) == 1 or not pairs:
            return texts[0]
        if len({text for text, _ in pairs}) == 1 and len(pairs) > 1:
            return f"{texts[0]} at {', '.join(str(point.extent) for _, point in pairs)} {pairs[0][1].unit}"
        unit = _unit_of(self.claim) if self.claim.form is Form.value else ""  # a long list says it once
        parts = ", ".join(f"{text.removesuffix(unit)} at {point.extent}" for text, point in pairs)
        return f"{parts} {pairs[0][1].unit}" + (f" ({unit.strip()})" if unit else "")


def published_text(claim: Claim, point: ClaimPoint) -> str:
    """The published number as the paper says it."""
    return claim.printed or _text_of(claim, Amount(point.published, point.published, point.published))


def _number_text(claim: Claim, other: Beside) -> str:
    source = f", {other.amount.source}" if "duel" in other.amount.source else ""
    return _text_of(claim, other.amount) + source


def _text_of(claim: Claim, amount: Amount) -> str:
    """The number with its unit, and its interval where it has one: `4.0x (3.9 to 4.1)`."""
    text, unit = _digits(claim, amount.value), _unit_of(claim)
    if amount.disturbed:
        return f"{text}{unit} (disturbed)"  # no interval holds what others did
    if amount.low == amount.high:
        return text + unit
    return f"{text}{unit} ({_digits(claim, amount.low)} to {_digits(claim, amount.high)})"


def _digits(claim: Claim, value: float) -> str:
    if claim.form is Form.points_more:
        return f"{value:+.1f}"
    if claim.form is Form.value:
        return f"{value:.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def _unit_of(claim: Claim) -> str:
    """What follows the digits of a claim's number."""
    if claim.form is Form.value:
        units = {Quantity.params: "million", Quantity.gmacs: "GMACs", Quantity.other: claim.unit}
        return f" {units[claim.quantity]}" if claim.quantity in units else "%"
    if claim.form is Form.times_less:
        return "x"
    return " points" if claim.form is Form.points_more else "%"
