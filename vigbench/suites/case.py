"""A case: one point of a sweep, frozen and hashable."""

from __future__ import annotations

import hashlib
import json
import math
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from vigbench.suites.shape import Shape


class Precision(StrEnum):
    """The dtype of weights and inputs."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


class Phase(StrEnum):
    """What one iteration runs: a forward pass, one and a backward pass, or both and an optimiser's step."""

    inference = "inference"
    training = "training"
    training_step = "training_step"

    @property
    def trains(self) -> bool:
        """Whether there is a backward pass."""
        return self is not Phase.inference


PHASE_MEANING = "inference (forward), training (forward + backward) or training_step (both and AdamW's step)"


class Device(StrEnum):
    """The kind of device that a case runs on."""

    cpu = "cpu"
    cuda = "cuda"


def _none_if_missing(value: Any) -> Any:
    """A frame holds NaN where a case has no such setting."""
    return None if isinstance(value, float) and math.isnan(value) else value


Extent = Annotated[int | None, Field(ge=1), BeforeValidator(_none_if_missing)]


class Case(BaseModel):
    """Everything that decides what is measured; two cases are the same if and only if all fields are.

    A model's case has a resolution; an operator's has a length and the shape of its heads instead.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    subject: str = Field(
        min_length=1, description="what is measured: a model name, package.module:factory, a plug-in, or an operator"
    )
    implementation: str = Field(
        default="default", description="which code computes the subject's operator; `default` where there is no choice"
    )
    resolution: Extent = Field(default=None, description="models: height and width of the input image, px")
    length: Extent = Field(default=None, description="operators: tokens of a sequence")
    heads: Extent = Field(default=None, description="operators: heads")
    key_dim: Extent = Field(default=None, description="operators: query and key channels of a head")
    value_dim: Extent = Field(default=None, description="operators: value channels of a head")
    batch_size: Annotated[int, Field(ge=1, description="images (operators: sequences) per iteration")] = 1
    precision: Precision = Field(default=Precision.float32, description="dtype of weights and inputs")
    phase: Phase = Field(default=Phase.inference, description=PHASE_MEANING)
    device: Device = Field(default=Device.cpu, description="cpu or cuda")
    compile: bool = Field(default=False, description="whether the model goes through torch.compile")
    cuda_graph: bool = Field(default=False, description="whether calls are replays of one captured CUDA graph")
    channels_last: bool = Field(default=False, description="memory layout of weights and inputs")
    tf32: bool = Field(default=False, description="whether float32 matrix products may use TF32 (CUDA)")
    threads: Annotated[int, Field(ge=0, description="CPU threads of torch; 0 = one per physical core available")] = 0

    @model_validator(mode="after")
    def _of_one_kind(self) -> Case:
        operator = (self.length, self.heads, self.key_dim, self.value_dim)
        complete = self.resolution is None and None not in operator
        if not complete and (self.resolution is None or operator != (None,) * 4):
            raise ValueError("give a model a resolution, or an operator length, heads, key_dim and value_dim")
        if self.is_operator and self.channels_last:
            raise ValueError("channels_last is a layout of images: leave it out for an operator")
        if self.is_operator and self.phase is Phase.training_step:
            raise ValueError("an operator has no weights to update: measure its phase training instead")
        return self

    @property
    def is_operator(self) -> bool:
        """Whether an operator is measured, not a model."""
        return self.length is not None

    @property
    def extent(self) -> int:
        """What grows along a curve: a model's resolution in px, an operator's length in tokens."""
        extent = self.resolution or self.length
        assert extent is not None
        return extent

    @property
    def extent_text(self) -> str:
        """The same with its unit."""
        return f"{self.extent} {'tokens' if self.is_operator else 'px'}"

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
        rest = self.model_dump(mode="json", exclude={"resolution", "length", "batch_size"})
        return json.dumps(rest, sort_keys=True)

    def label(self) -> str:
        """One short line for people: the settings that usually differ."""
        extent = self.extent_text if self.is_operator else f"{self.resolution}px"
        return self._label(f"{extent} b{self.batch_size} {self.precision}")

    def label_without_size(self) -> str:
        """The same for a series: without resolution or length, and batch size."""
        return self._label(self.precision)

    def _label(self, middle: str) -> str:
        parts = [self.subject]
        if self.implementation != "default":
            parts.append(f"[{self.implementation}]")
        if self.shape is not None:
            parts.append(str(self.shape))
        parts.append(middle)
        if self.phase.trains:
            parts.append(self.phase.replace("_", " "))
        if self.compile:
            parts.append("compiled")
        if self.cuda_graph:
            parts.append("graph")
        if self.channels_last:
            parts.append("channels_last")
        if self.tf32:
            parts.append("tf32")
        if self.threads:
            parts.append(f"{self.threads} thread{'s' * (self.threads > 1)}")
        return " ".join(parts)
