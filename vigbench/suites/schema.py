"""The typed form of a suite file."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from vigbench.nearest import one_of
from vigbench.suites.case import Case, Device, Phase, Precision
from vigbench.suites.duration import parse_duration
from vigbench.suites.shape import parse_entry

# older files name the operator
_IMPLEMENTATION_KEYS = ("implementation", "attention", "gla", "scan", "biwkv")
PRECISION_ALIASES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16", "half": "float16"}


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


def _unique(values: list[Any]) -> list[Any]:
    return list(dict.fromkeys(values))


def _precision(value: Any) -> Any:
    return PRECISION_ALIASES.get(value, value) if isinstance(value, str) else value


def _duration(value: Any) -> Any:
    # bool is an int in Python; `budget: yes` is a mistake, not one second
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("write a duration such as 90s, 3m or 1h30m")
    return parse_duration(value)


def _shape(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    shape, length = parse_entry(value)
    return str(shape) if length is None else f"{shape}@{length}"


Whole = Annotated[int, Field(ge=1, le=10**9, strict=True)]
Flag = Annotated[bool, Field(strict=True)]
Seconds = Annotated[float, BeforeValidator(_duration)]
T = TypeVar("T")
# written as a list or as a single value
OneOrMore = Annotated[list[T], BeforeValidator(_as_list), Field(min_length=1), AfterValidator(_unique)]
Names = OneOrMore[Annotated[str, Field(min_length=1)]]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SubjectEntry(_Strict):
    """A subject of a suite, and the implementations of its operator to measure (none: the default one)."""

    name: Annotated[str, Field(min_length=1)]
    implementation: Names | None = Field(None, validation_alias=AliasChoices(*_IMPLEMENTATION_KEYS))

    @model_validator(mode="before")
    @classmethod
    def _from_string(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @model_validator(mode="before")
    @classmethod
    def _with_one_key(cls, value: Any) -> Any:
        given = [key for key in _IMPLEMENTATION_KEYS if key in value] if isinstance(value, dict) else []
        if len(given) > 1:
            raise ValueError(f"name the implementations of one operator, with one key, not with {one_of(given)}")
        return value


class Axes(_Strict):
    """The swept settings; every list is crossed with every other. Models have a resolution, operators the other two."""

    resolution: OneOrMore[Whole] | None = None
    length: OneOrMore[Whole] | None = None
    shape: OneOrMore[Annotated[str, BeforeValidator(_shape)]] | None = None
    batch_size: OneOrMore[Whole] = [1]
    precision: OneOrMore[Annotated[Precision, BeforeValidator(_precision)]] = [Precision.float32]
    phase: OneOrMore[Phase] = [Phase.inference]
    compile: OneOrMore[Flag] = [False]
    cuda_graph: OneOrMore[Flag] = [False]
    channels_last: OneOrMore[Flag] = [False]
    tf32: OneOrMore[Flag] = [False]


class Exclusion(Axes):
    """Cases to leave out: those that have, on each axis that is named, one of the values given there."""

    @model_validator(mode="after")
    def _says_something(self) -> Exclusion:
        if not self.model_fields_set:
            raise ValueError(f"name the axes of the cases to leave out: {one_of(Axes.model_fields)}")
        return self

    @model_serializer(mode="wrap")
    def _without_defaults(self, to_dict: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in to_dict(self).items() if name in self.model_fields_set}

    def matches(self, case: Case) -> bool:
        """Whether it leaves a case out."""
        return all(str(getattr(case, name)) in map(str, getattr(self, name)) for name in self.model_fields_set)


class Profile(Axes):
    """The axes for one kind of device, what to leave out of their product, and the time that all may take."""

    exclude: list[Exclusion] = []
    implementation: Names | None = None
    threads: Annotated[int, Field(ge=0, strict=True)] = 0
    processes: Whole = 1
    calibrate: Flag = False
    budget: Seconds
    case_timeout: Seconds = 300.0

    @model_validator(mode="after")
    def _of_one_kind(self) -> Profile:
        if self.resolution is not None and (self.length is not None or self.shape is not None):
            raise ValueError("resolution is an axis of models, length and shape are those of operators: give one kind")
        if self.resolution is None and (self.length is None or self.shape is None):
            raise ValueError("name a resolution for models, or length and shape for operators")
        if not self.extents():
            raise ValueError(f"every shape is for another length ({one_of(self.shape or ())}): leave its @ out")
        return self

    def extents(self) -> list[dict[str, int]]:
        """The settings of a case that say how large it is, small ones first: `resolution`, or `length` and a shape."""
        if self.resolution is not None:
            return [{"resolution": resolution} for resolution in sorted(self.resolution)]
        assert self.length is not None
        assert self.shape is not None
        shapes = [parse_entry(text) for text in self.shape]
        return [
            {"length": length, **shape._asdict()}
            for length in sorted(self.length)
            for shape, only in shapes
            if only in (None, length)
        ]


class Suite(_Strict):
    """A named question: subjects x axes, one profile for each kind of device."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
    question: Annotated[str, Field(min_length=1)]
    subjects: Annotated[list[SubjectEntry], Field(min_length=1)]
    profiles: Annotated[dict[Device, Profile], Field(min_length=1)]
    version: Literal[1] = 1

    def profile(self, device: Device) -> Profile:
        """The profile for `device`.

        Raises:
            ValueError: if the suite has none for it.
        """
        if device not in self.profiles:
            raise ValueError(
                f"Suite {self.name} has no profile for {device}; it has one for {', '.join(self.profiles)}. "
                f"Add `{device}:` under `profiles:` in its file, or choose another --device."
            )
        return self.profiles[device]
