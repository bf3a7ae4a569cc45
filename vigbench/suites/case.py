"""A case: one point of a sweep, frozen and hashable."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from vigbench.suites.arguments import read_args, with_args
from vigbench.suites.axes import (
    ALL,
    AXES,
    OF_RANKS,
    SAMPLING_STEPS,
    SLIDING,
    Device,
    Exchange,
    Gathering,
    MemoryFormat,
    Phase,
    Precision,
    Weighting,
    known,
)
from vigbench.suites.former_names import with_new_names
from vigbench.suites.resolution import Resolution, mean_side, read_resolution, sides_of
from vigbench.suites.shape import Shape
from vigbench.suites.windows import windows_of


def _none_if_missing(value: Any) -> Any:
    """A frame holds NaN where a case has no such setting."""
    return value if known(value) else None


def _resolution(value: Any) -> Any:
    return None if _none_if_missing(value) is None else read_resolution(value)


def _args(value: Any) -> Any:
    return "" if _none_if_missing(value) is None else read_args(value)


def _of(axis: str, **checks: Any) -> Any:
    """A field as its axis is declared."""
    return Field(default=AXES[axis].default, description=AXES[axis].description, **checks)


Missing = BeforeValidator(_none_if_missing)
Extent = Annotated[int | None, Field(ge=1), Missing]


class Case(BaseModel):
    """Everything that decides what is measured; two cases are the same if and only if all fields are.

    A model's case has a resolution; an operator's has a length and the shape of its heads instead.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    subject: str = Field(
        min_length=1, description="what is measured: a model name, package.module:factory, a plug-in, or an operator"
    )
    args: Annotated[str, BeforeValidator(_args)] = Field(
        default="", description="further arguments of the subject's constructor, as JSON; empty: none"
    )
    implementation: str = Field(
        default="default", description="which code computes the subject's operator; `default` where there is no choice"
    )
    resolution: Annotated[Resolution | None, BeforeValidator(_resolution)] = _of("resolution")
    length: Extent = _of("length")
    heads: Extent = Field(default=None, description="operators: heads")
    key_dim: Extent = Field(default=None, description="operators: query and key channels of a head")
    value_dim: Extent = Field(default=None, description="operators: value channels of a head")
    batch_size: int = _of("batch_size", ge=1)
    precision: Precision = _of("precision")
    phase: Phase = _of("phase")
    device: Device = Field(default=Device.cpu, description="cpu or cuda")
    compile: bool = _of("compile")
    cuda_graph: bool = _of("cuda_graph")
    memory_format: MemoryFormat = _of("memory_format")
    tf32: bool = _of("tf32")
    scan: Annotated[str | None, Missing] = _of("scan")
    roi: Annotated[Resolution | None, BeforeValidator(_resolution)] = _of("roi")
    overlap: Annotated[float | None, Field(ge=0, lt=1), Missing] = _of("overlap")
    weighting: Annotated[Weighting | None, Missing] = _of("weighting")
    window_batch: Extent = _of("window_batch")
    gather: Annotated[Gathering | None, Missing] = _of("gather")
    ranks: int = _of("ranks", ge=1)
    exchange: Annotated[Exchange | None, Missing] = _of("exchange")
    share_gpu: bool = _of("share_gpu")
    threads: int = _of("threads", ge=0)

    @model_validator(mode="before")
    @classmethod
    def _as_named_now(cls, values: Any) -> Any:
        return with_new_names(values)

    @model_validator(mode="before")
    @classmethod
    def _of_its_phase(cls, values: Any) -> Any:
        """In sliding_window its settings as they are where nothing is said; none of them in another phase."""
        if not isinstance(values, Mapping):
            return values
        slides = str(values.get("phase", "")) == Phase.sliding_window
        said = {name: value for name, value in values.items() if name not in SLIDING or (slides and known(value))}
        return {**SLIDING, **said} if slides else said

    @model_validator(mode="before")
    @classmethod
    def _of_its_ranks(cls, values: Any) -> Any:
        """The settings of several ranks as they are where nothing is said; none of them with one rank."""
        if not isinstance(values, Mapping):
            return values
        several = values.get("ranks", 1) != 1
        said = {name: value for name, value in values.items() if name not in OF_RANKS or (several and known(value))}
        return {**OF_RANKS, **said} if several else said

    @model_validator(mode="after")
    def _of_one_kind(self) -> Case:
        operator = (self.length, self.heads, self.key_dim, self.value_dim)
        complete = self.resolution is None and None not in operator
        if not complete and (self.resolution is None or operator != (None,) * 4):
            raise ValueError("give a model a resolution, or an operator length, heads, key_dim and value_dim")
        if self.scan is not None and self.phase is not Phase.sliding_window:
            raise ValueError("a scan is covered by sliding windows: give --phase sliding_window beside --scan")
        if self.args and self.resolution is None:
            raise ValueError("an operator has no constructor: leave args out")
        return self

    @property
    def model(self) -> str:
        """The subject with its arguments, as people read it: two cases are of one model only where it is equal."""
        return with_args(self.subject, self.args)

    ALONE: ClassVar[Mapping[str, Any]] = {"batch_size": 1, "roi": None, "scan": None}
    """What makes of a case one item that a model takes in one pass, at another resolution."""

    @property
    def built_for(self) -> Resolution | None:
        """The size that the model is built for and takes: of sliding windows one window, not the scan."""
        return self.resolution if self.roi is None else self.roi

    @property
    def windows(self) -> int | None:
        """Windows of one scan, each a forward pass; None in other phases. ValueError for sides that are not three."""
        if self.roi is None or self.resolution is None or self.overlap is None:
            return None
        return windows_of(sides_of(self.resolution, 3), sides_of(self.roi, 3), self.overlap)

    @property
    def passes(self) -> int:
        """Multiply-adds of an iteration over those of its items: a product has two gradients."""
        if self.phase is Phase.sampling:
            return 2 * SAMPLING_STEPS  # with and without label
        return 3 if self.phase.trains else 1

    @property
    def extent(self) -> float:
        """What grows along a curve: a resolution's mean side in px, an operator's length in tokens."""
        if self.resolution is not None:
            return mean_side(self.resolution)
        assert self.length is not None
        return self.length

    @property
    def extent_of_pass(self) -> float:
        """The same of what the model takes at once: of a scan one window."""
        return self.extent if self.roi is None else mean_side(self.roi)

    @property
    def extent_text(self) -> str:
        """The size as written, with its unit."""
        return f"{self.length} tokens" if self.resolution is None else f"{self.resolution} px"

    @property
    def arithmetic(self) -> str:
        """What its matrix products are computed in: the precision, or `tf32`."""
        return "tf32" if self.tf32 and self.precision == Precision.float32 else str(self.precision)

    @property
    def mantissa(self) -> str:
        """The precision whose mantissa its matrix products have: TF32 has that of float16."""
        return str(Precision.float16 if self.arithmetic == "tf32" else self.precision)

    @property
    def shape(self) -> Shape | None:
        """An operator's heads and their channels; None for a model."""
        if self.heads is None or self.key_dim is None or self.value_dim is None:
            return None
        return Shape(self.heads, self.key_dim, self.value_dim)

    @property
    def case_id(self) -> str:
        """Hash of the content: 12 hexadecimal digits. Defaults are left out: a new setting changes no id."""
        content = json.dumps(self.model_dump(mode="json", exclude_defaults=True), sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:12]

    @property
    def series(self) -> str:
        """What stays fixed along a curve: the case without its resolution or length, and batch size."""
        rest = self.model_dump(mode="json", exclude={"resolution", "length", "batch_size", "scan"})
        return json.dumps(rest, sort_keys=True)

    def label(self) -> str:
        """One short line for people: the settings that usually differ."""
        return self._label(())

    def label_without_size(self) -> str:
        """The same for a series: without resolution or length, and batch size."""
        return self._label(("resolution", "length", "batch_size", "scan"))

    def _label(self, without: tuple[str, ...]) -> str:
        parts = [self.model] + [f"[{self.implementation}]"] * (self.implementation != "default")
        values = ((axis, getattr(self, axis.name)) for axis in ALL if axis.name not in without)
        parts += [axis.label(value) for axis, value in values if value is not None]
        return " ".join(part for part in parts if part)
