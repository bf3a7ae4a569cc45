"""A case: one point of a sweep, frozen and hashable."""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


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


class Case(BaseModel):
    """Everything that decides what is measured; two cases are the same if and only if all fields are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    subject: str = Field(min_length=1, description="what is measured: a model name or package.module:factory")
    implementation: str = Field(
        default="default", description="which code computes the subject's operator; `default` where there is no choice"
    )
    resolution: Annotated[int, Field(ge=1, description="height and width of the input image, px")]
    batch_size: Annotated[int, Field(ge=1, description="images per iteration")] = 1
    precision: Precision = Field(default=Precision.float32, description="dtype of weights and inputs")
    phase: Phase = Field(default=Phase.inference, description=PHASE_MEANING)
    device: Device = Field(default=Device.cpu, description="cpu or cuda")
    compile: bool = Field(default=False, description="whether the model goes through torch.compile")
    cuda_graph: bool = Field(default=False, description="whether calls are replays of one captured CUDA graph")
    channels_last: bool = Field(default=False, description="memory layout of weights and inputs")
    tf32: bool = Field(default=False, description="whether float32 matrix products may use TF32 (CUDA)")
    threads: Annotated[int, Field(ge=0, description="CPU threads of torch; 0 = one per physical core available")] = 0

    @property
    def case_id(self) -> str:
        """Hash of the content: 12 hexadecimal digits. Defaults are left out: a new setting changes no id."""
        content = json.dumps(self.model_dump(mode="json", exclude_defaults=True), sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:12]

    @property
    def series(self) -> str:
        """What stays fixed along a curve over resolution: the case without its resolution and batch size."""
        rest = self.model_dump(mode="json", exclude={"resolution", "batch_size"})
        return json.dumps(rest, sort_keys=True)

    def label(self) -> str:
        """One short line for people: the settings that usually differ."""
        return self._label(f"{self.resolution}px b{self.batch_size} {self.precision}")

    def label_without_size(self) -> str:
        """The same for a series: without resolution and batch size."""
        return self._label(self.precision)

    def _label(self, middle: str) -> str:
        parts = [self.subject]
        if self.implementation != "default":
            parts.append(f"[{self.implementation}]")
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
