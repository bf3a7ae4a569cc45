"""The typed form of a suite file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    create_model,
    field_validator,
    model_serializer,
    model_validator,
)

from vigbench.nearest import one_of
from vigbench.suites.arguments import read_args, with_args
from vigbench.suites.axes import AXES, SWEPT, Axis, Device, true_or_false
from vigbench.suites.case import Case
from vigbench.suites.duration import parse_duration
from vigbench.suites.former_names import with_new_names
from vigbench.suites.resolution import Resolution, mean_side
from vigbench.suites.shape import parse_entry

# older files name the operator
_IMPLEMENTATION_KEYS = ("implementation", "attention", "gla", "scan", "biwkv")


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


def _each_once(values: list[Any]) -> list[Any]:
    if twice := [value for value, times in Counter(values).items() if times > 1]:
        raise ValueError(f"{twice[0]} is given more than once; leave one out")
    return values


def _duration(value: Any) -> Any:
    # bool is an int in Python; `budget: yes` is a mistake, not one second
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("write a duration such as 90s, 3m or 1h30m")
    return parse_duration(value)


def _flag(value: Any) -> Any:
    return true_or_false(value) if isinstance(value, str) else value


Whole = Annotated[int, Field(ge=1, le=10**9, strict=True)]
Flag = Annotated[bool, BeforeValidator(_flag), Field(strict=True)]
Seconds = Annotated[float, BeforeValidator(_duration)]
T = TypeVar("T")
# written as a list or as a single value
OneOrMore = Annotated[list[T], BeforeValidator(_as_list), Field(min_length=1), AfterValidator(_each_once)]
Names = OneOrMore[Annotated[str, Field(min_length=1)]]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SubjectEntry(_Strict):
    """A subject of a suite, and the implementations of its operator to measure (none: the default one).

    Attributes:
        args: further arguments of its constructor, as `Case` has them.
        shape: heads of its own, where other subjects of the section have others.
    """

    name: Annotated[str, Field(min_length=1)]
    implementation: Names | None = Field(None, validation_alias=AliasChoices(*_IMPLEMENTATION_KEYS))
    args: Annotated[str, BeforeValidator(read_args)] = ""
    shape: OneOrMore[Annotated[str, BeforeValidator(AXES["shape"].read)]] | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_string(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @model_validator(mode="before")
    @classmethod
    def _with_one_key(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        # older runs have written down every key, empty but for one
        known = {key: entry for key, entry in value.items() if key not in _IMPLEMENTATION_KEYS or entry is not None}
        given = [key for key in _IMPLEMENTATION_KEYS if key in known]
        if len(given) > 1:
            raise ValueError(f"name the implementations of one operator, with one key, not with {one_of(given)}")
        return known


def _values_of(axis: Axis) -> Any:
    """A list of values of an axis, or one; None where neither a file nor the axis says any."""
    several = OneOrMore[Annotated[Any, BeforeValidator(axis.read)]]
    return (several | None, None) if axis.default is None else (several, [axis.default])


class _Axes(_Strict):
    if TYPE_CHECKING:  # fields like the others: these this file names
        resolution: list[Resolution] | None = None
        scan: list[str] | None = None
        length: list[int] | None = None
        shape: list[str] | None = None

    @model_validator(mode="before")
    @classmethod
    def _as_named_now(cls, values: Any) -> Any:
        return with_new_names(values)


_fields: Any = {axis.name: _values_of(axis) for axis in SWEPT}
Axes = create_model("Axes", __base__=_Axes, **_fields)
"""The swept settings; every list is crossed with every other, but for those that say how large a case is."""


class Exclusion(Axes):
    """Cases to leave out: those that have, on each axis that is named, one of the values given there.

    Attributes:
        args: beside the axes, arguments of a subject's constructor, all of them.
    """

    args: OneOrMore[Annotated[str, BeforeValidator(read_args)]] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Exclusion:
        if not self.model_fields_set:
            raise ValueError(f"name the axes of the cases to leave out: {one_of(Exclusion.model_fields)}")
        return self

    @model_serializer(mode="wrap")
    def _without_defaults(self, to_dict: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in to_dict(self).items() if name in self.model_fields_set}

    def matches(self, case: Case) -> bool:
        """Whether it leaves a case out."""
        return all(str(getattr(case, name)) in map(str, getattr(self, name)) for name in self.model_fields_set)


class DeviceSection(Axes):
    """The axes for one kind of device, what to leave out of their product, and the time that all may take.

    Attributes:
        subject, implementation: names or globs: only these of the suite's; None: all.
    """

    exclude: list[Exclusion] = Field(default=[])
    subject: Names | None = None
    implementation: Names | None = None
    threads: Annotated[int, Field(ge=0, le=4096, strict=True)] = 0
    processes: Whole = 1
    calibrate: Flag = False
    budget: Seconds
    case_timeout: Seconds = 300.0

    @model_validator(mode="after")
    def _of_one_kind(self) -> DeviceSection:
        if self.resolution is not None and self.scan is not None:
            raise ValueError("a scan has its own size: give scan or resolution")
        of_models = self.resolution is not None or self.scan is not None
        if of_models and (self.length is not None or self.shape is not None):
            raise ValueError("resolution is an axis of models, length and shape are those of operators: give one kind")
        if not of_models and self.length is None:
            raise ValueError("name a resolution for models, or length and shape for operators")
        if self.shape is not None and not self.extents():
            raise ValueError(f"every shape is for another length ({one_of(self.shape or ())}): leave its @ out")
        return self

    def sized_by(self) -> tuple[str, ...]:
        """The axes that say how large its cases are."""
        return ("length", "shape") if self.resolution is None and self.scan is None else ("resolution",)

    def extents(self, shapes: Sequence[str] | None = None) -> list[Mapping[str, Any]]:
        """The settings of a case that say how large it is, small ones first: `resolution`, or `length` and a shape.

        `shapes` stand in for the section's own, where a subject has others.
        """
        if self.scan is not None:
            return [AXES["scan"].settings(path) for path in self.scan]
        if self.resolution is not None:
            return [
                {"resolution": size} for size in sorted(self.resolution, key=lambda size: (mean_side(size), str(size)))
            ]
        assert self.length is not None
        entries = [parse_entry(text) for text in shapes or self.shape or ()]
        return [
            {**AXES["length"].settings(length), **shape._asdict()}
            for length in sorted(self.length)
            for shape, only in entries
            if only in (None, length)
        ]


class Suite(_Strict):
    """A named question: subjects x axes, one section for each kind of device."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=80)]
    question: Annotated[str, Field(min_length=1)]
    subjects: Annotated[list[SubjectEntry], Field(min_length=1)]
    devices: Annotated[dict[Device, DeviceSection], Field(min_length=1)]
    version: Literal[1] = 1

    @field_validator("subjects")
    @classmethod
    def _each_subject_once(cls, entries: list[SubjectEntry]) -> list[SubjectEntry]:
        seen = set()
        for entry in entries:
            for implementation in entry.implementation or [""]:
                one = (with_args(entry.name, entry.args), implementation)
                if one in seen:
                    raise ValueError(
                        f"{' '.join(filter(None, one))} is given more than once; leave one out, or give the entries "
                        "different implementations or args"
                    )
                seen.add(one)
        return entries

    @model_validator(mode="after")
    def _every_operator_has_a_shape(self) -> Suite:
        shapeless = [entry.name for entry in self.subjects if entry.shape is None]
        for device, section in self.devices.items():
            if section.length is not None and section.shape is None and shapeless:
                raise ValueError(
                    f"devices.{device}: name a resolution for models, or length and shape for operators; there is no "
                    f"shape for {one_of(shapeless)}, in the section or beside the subject"
                )
        return self

    @model_validator(mode="before")
    @classmethod
    def _as_named_now(cls, values: Any) -> Any:
        """The sections were once called profiles."""
        if isinstance(values, Mapping) and "profiles" in values and "devices" not in values:
            return {"devices" if key == "profiles" else key: value for key, value in values.items()}
        return values

    def section(self, device: Device) -> DeviceSection:
        """What it asks for on `device`.

        Raises:
            ValueError: if that is nothing.
        """
        if device not in self.devices:
            raise ValueError(
                f"Suite {self.name} asks for nothing on {device}; it has a section for {one_of(self.devices)}. "
                f"Add `{device}:` under `devices:` in its file, or choose another --device."
            )
        return self.devices[device]
