"""What a published claim is: statement, source, the numbers that it is made of and how they were counted."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from vigbench.nearest import did_you_mean, one_of
from vigbench.suites.axes import Exchange, Phase, Precision
from vigbench.suites.shape import Shape, parse_shape

PAPERS = ("vig", "vim", "gla", "fla", "gsa", "regla", "retnet", "mamba2", "lasp", "dig", "glims")


class Quantity(StrEnum):
    """A column of the records, or of an evaluation, that a claim is about."""

    params = "params"
    gmacs = "gmacs"
    sent_mib_per_rank = "sent_mib_per_rank"
    latency_ms = "latency_ms"
    peak_memory_mib = "peak_memory_mib"
    top1_percent = "top1_percent"
    other = "other"  # no column: the claim's `unit` says what it is, and its `lacks` why

    @property
    def is_of_model(self) -> bool:
        """Whether it is a property of the model, counted without running it."""
        return self in (Quantity.params, Quantity.gmacs)

    @property
    def is_counted(self) -> bool:
        """Whether it is a count, the same on any machine."""
        return self.is_of_model or self is Quantity.sent_mib_per_rank

    @property
    def needs_run(self) -> bool:
        """Whether a run or a duel decides it."""
        return self.needs_gpu or self is Quantity.sent_mib_per_rank

    @property
    def needs_gpu(self) -> bool:
        """Whether papers mean a GPU when they claim it."""
        return self in (Quantity.latency_ms, Quantity.peak_memory_mib)


class Form(StrEnum):
    """How the claim's number is made of those of both sides."""

    value = "value"  # ours; parameters in millions
    times_less = "times_less"  # theirs / ours
    percent_of = "percent_of"  # 100 ours / theirs
    percent_saved = "percent_saved"  # 100 (1 - ours / theirs)
    points_more = "points_more"  # ours - theirs


class Sense(StrEnum):
    """What the measured number has to be, beside the published one, for the claim to hold."""

    equal = "equal"
    at_least = "at_least"
    at_most = "at_most"


def _as_shape(value: Any) -> Any:
    return parse_shape(value) if isinstance(value, str) else value


ShapeOrText = Annotated[Shape | None, BeforeValidator(_as_shape)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ClaimSide(_Frozen):
    """One of the two that a claim compares."""

    subject: str = Field(min_length=1)
    implementation: str | None = Field(None, description="None: what vigbench chooses by itself on that device")
    exchange: Exchange | None = Field(None, description="of several ranks")
    label: str = Field("", description="how people call it; empty: its name and implementation")

    @property
    def name(self) -> str:
        """As commands name it: `subject@implementation`."""
        return f"{self.subject}@{self.implementation}" if self.implementation else self.subject

    def __str__(self) -> str:
        return self.label or self.name


class Other(_Frozen):
    """The same comparison with another side; shown beside, decides nothing."""

    ours: ClaimSide | None = None
    theirs: ClaimSide | None = None


class CountedShare(_Frozen):
    """What the paper's way of counting sees of all multiply-adds, or parameters, as a share."""

    ours: float = Field(1.0, gt=0)
    theirs: float = Field(1.0, gt=0)


class ClaimPoint(_Frozen):
    """Where the claim says which number: models at a resolution, operators at a length.

    Attributes:
        shape, batch_size: where they are not the claim's.
    """

    resolution: int | None = Field(None, ge=1)
    length: int | None = Field(None, ge=1)
    published: float
    shape: ShapeOrText = None
    batch_size: int | None = Field(None, ge=1)

    @property
    def extent(self) -> int:
        """The resolution in px, or the length in tokens."""
        extent = self.resolution or self.length
        assert extent is not None
        return extent

    @property
    def unit(self) -> str:
        """Of the extent."""
        return "tokens" if self.resolution is None else "px"


class Paper(_Frozen):
    """Where claims come from, and what it does not say about its measurements."""

    name: str
    title: str
    url: str
    unknown: str = ""


class Claim(_Frozen):
    """A published statement that records can support, refute or leave open.

    Attributes:
        published in `points`: in the claim's form: times, percent, points, GMACs, millions of parameters, or top-1 in
            percent.
        printed: what the paper says where it prints no number, as `less`; then the published number is 1, or 100%.
        tolerance, tolerance_percent: rounding of what was printed and errors of reading, in the number's unit or as a
            share of it; for speed and memory also what another GPU may change. Exactly one is given.
        counted, counted_share: the paper's way of counting, where it is not the rule of docs/measurement.md.
        batch_size, precision: of the cases on a GPU; on a CPU one image in float32 is looked at.
        ranks: over which each side's tokens are cut; its `exchange` says how.
        unit: of a quantity that vigbench has no column for, as `tokens/s`.
        lacks: why vigbench cannot measure it, as `vigbench builds no DiS`; such a claim stays open.
    """

    paper: Paper
    id: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    statement: str = Field(min_length=1)
    source: str = Field(min_length=1)
    quantity: Quantity
    form: Form
    sense: Sense
    ours: ClaimSide
    theirs: ClaimSide | None = None
    beside: tuple[Other, ...] = ()
    points: tuple[ClaimPoint, ...] = Field(min_length=1)
    printed: str = ""
    tolerance: float | None = Field(None, ge=0)
    tolerance_percent: float | None = Field(None, ge=0)
    counted: str = ""
    counted_share: CountedShare | None = None
    shape: ShapeOrText = None
    batch_size: int = Field(64, ge=1)
    precision: Precision = Precision.float32
    phase: Phase = Phase.inference
    ranks: int = Field(1, ge=1)
    unit: str = ""
    lacks: str = ""
    note: str = ""

    @model_validator(mode="after")
    def _is_complete(self) -> Claim:
        if (self.form is Form.value) != (self.theirs is None):
            raise ValueError(f"{self.id}: the form `value` has no other side, every other form needs `theirs`")
        if (self.tolerance is None) == (self.tolerance_percent is None):
            raise ValueError(f"{self.id}: give tolerance (in the number's unit) or tolerance_percent")
        if bool(self.counted) != (self.counted_share is not None):
            raise ValueError(f"{self.id}: counted says how, counted_share how much: give both or none")
        if self.counted and not self.quantity.is_of_model:
            raise ValueError(f"{self.id}: only parameters and multiply-adds have a way of counting")
        if (self.quantity is Quantity.other) != bool(self.unit) or (self.unit and not self.lacks):
            raise ValueError(f"{self.id}: what is no column, and only that, has a unit; such a claim lacks something")
        self._check_points()
        self._check_ranks()
        return self

    def _check_points(self) -> None:
        for point in self.points:
            sizes = [size for size in (point.resolution, point.length) if size is not None]
            if self.lacks:  # nothing is built: a size tells several numbers apart
                complete = len(sizes) == 1 or (not sizes and len(self.points) == 1)
            else:
                complete = len(sizes) == 1 and (point.length is None) == (self.shape_at(point) is None)
            if not complete:
                raise ValueError(f"{self.id}: give points of a model a resolution, of an operator a length and a shape")

    def _check_ranks(self) -> None:
        sides = [side for side in (self.ours, self.theirs) if side]
        exchanges = {side.exchange is not None for side in sides}
        if exchanges != {self.ranks > 1} or (self.quantity is Quantity.sent_mib_per_rank) != (self.ranks > 1):
            raise ValueError(f"{self.id}: what ranks send is of several, each side of which has an exchange")

    def shape_at(self, point: ClaimPoint) -> Shape | None:
        """Of the operator at one of its points; None for a model."""
        return point.shape or self.shape

    def batch_size_at(self, point: ClaimPoint) -> int:
        """Of the cases on a GPU at one of its points."""
        return point.batch_size or self.batch_size

    def allowed(self, published: float) -> float:
        """The tolerance at a published number, in that number's unit."""
        if self.tolerance is not None:
            return self.tolerance
        assert self.tolerance_percent is not None
        return abs(published) * self.tolerance_percent / 100


@cache
def load_claims() -> tuple[Claim, ...]:
    """Every claim that comes with vigbench, paper by paper.

    Raises:
        ValueError: if a file does not fit this schema; the message names the claim.
    """
    claims = tuple(_read())
    assert len({claim.id for claim in claims}) == len(claims), "two claims have one id"
    return claims


def choose_claims(patterns: Iterable[str]) -> list[Claim]:
    """The claims with these ids, or ids that these globs match. ValueError for one that matches none."""
    claims, wanted = load_claims(), list(patterns)
    ids = [claim.id for claim in claims]
    papers = one_of(dict.fromkeys(f"{name.partition('-')[0]}-*" for name in ids))
    for pattern in wanted:
        if not any(fnmatchcase(claim_id, pattern) for claim_id in ids):
            raise ValueError(
                f"--claim: no claim is called {pattern!r}{did_you_mean(pattern, ids)} Ids begin as {papers}; "
                "vigbench claims --format csv has them all."
            )
    return [claim for claim in claims if any(fnmatchcase(claim.id, pattern) for pattern in wanted)]


def _read() -> Iterator[Claim]:
    for name in PAPERS:
        content = tomllib.loads(files(__package__).joinpath(f"{name}.toml").read_text(encoding="utf-8"))
        paper = Paper.model_validate(content["paper"])
        for claim in content["claim"]:
            yield Claim.model_validate({**claim, "paper": paper})
