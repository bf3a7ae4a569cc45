"""The axes of a sweep, each declared once: what a value is, what people read of it, and what it is by default.

The command line, suite files, a case's line and a report's settings are made from these declarations; `Case` gives each
its static type. A new axis is an entry here, a field there, and the code that does what it says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import isnan
from typing import Any, TypeVar

from vigbench.nearest import did_you_mean, one_of
from vigbench.suites.resolution import read_resolution
from vigbench.suites.scan import read_path, resolution_of
from vigbench.suites.shape import parse_entry

E = TypeVar("E", bound=StrEnum)


class Precision(StrEnum):
    """The dtype of weights and inputs."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


class Phase(StrEnum):
    """What one iteration runs: a forward pass, one and a backward pass, both and an optimiser's step, or many passes.

    Those of sampling make one image, those of sliding_window cover one scan.
    """

    inference = "inference"
    training = "training"
    training_step = "training_step"
    sampling = "sampling"
    sliding_window = "sliding_window"

    @property
    def trains(self) -> bool:
        """Whether there is a backward pass."""
        return self in (Phase.training, Phase.training_step)


class MemoryFormat(StrEnum):
    """The order in which the values of images and volumes lie in memory; torch's names, for volumes of 3-D, too."""

    contiguous = "contiguous"
    channels_last = "channels_last"


class Weighting(StrEnum):
    """How much a voxel of a window counts where windows overlap: all alike, or more in the middle."""

    constant = "constant"
    gaussian = "gaussian"


class Gathering(StrEnum):
    """Where the result of a whole scan is put together: where the model runs, or in the host's memory."""

    device = "device"
    host = "host"


class Exchange(StrEnum):
    """How ranks that share a sequence hand each other what they need: all at once, or from neighbour to neighbour."""

    all_gather = "all_gather"
    ring = "ring"


class Device(StrEnum):
    """The kind of device that a case runs on."""

    cpu = "cpu"
    cuda = "cuda"


SAMPLING_STEPS = 50  # of a diffusion model, from noise to one sample
SLIDING = {"roi": 96, "overlap": 0.5, "weighting": Weighting.gaussian, "window_batch": 1, "gather": Gathering.device}
"""What holds in the phase sliding_window where nothing is said; in other phases these settings mean nothing."""
OF_RANKS = {"exchange": Exchange.all_gather, "share_gpu": False}
"""What holds of several ranks where nothing is said; of one rank these settings mean nothing."""
RUN_ALONE = ("ranks", *OF_RANKS)  # axes of `vigbench run`, not of the commands that look at one case
PRECISION_ALIASES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16", "half": "float16"}
PHASE_MEANING = (
    "inference (forward), training (forward + backward), training_step (both and AdamW's step), sampling (diffusion "
    f"models: {SAMPLING_STEPS} steps with guidance, each a forward pass of twice the batch) or sliding_window "
    "(volumes: a whole scan, window by window)"
)


@dataclass(frozen=True)
class Axis:
    """A swept setting.

    Attributes:
        read: a value as a suite file, the command line or Python gives it; ValueError, without a full stop, for others.
        help: for the command line.
        description: for the columns of the records.
        default: where nothing is said; None where a case needs not have it.
        label: its part of a case's line; empty where it goes without saying.
        words: its part of a report's line of settings; by default the label.
        title: the head of a report's column, where that is not its name.
        of_size: whether it says how large a case is: such axes are not crossed with one another.
        swept: whether a suite crosses its values; else one value holds for all cases of a device.
        fields: the fields of a case that a value sets.
        before: another name under which earlier suites and records have it, and what its values were.
    """

    name: str
    read: Callable[[Any], Any]
    help: str
    description: str
    default: Any = None
    label: Callable[[Any], str] = str
    words: Callable[[Any], str] | None = None
    title: str = ""
    of_size: bool = False
    swept: bool = True
    fields: Callable[[Any], Mapping[str, Any]] | None = None
    before: tuple[str, Mapping[Any, Any]] | None = None

    @property
    def option(self) -> str:
        """On the command line."""
        return option_of(self.name)

    def settings(self, value: Any) -> Mapping[str, Any]:
        """What a value means for the fields of a case."""
        return self.fields(value) if self.fields else {self.name: value}

    def in_words(self, value: Any) -> str:
        """See `words`."""
        return (self.words or self.label)(value)


def option_of(name: str) -> str:
    """An axis's name as the command line writes it."""
    return "--" + name.replace("_", "-")


def whole_number(value: Any) -> int:
    """A whole number above 0; a frame with gaps holds it as a float."""
    text = str(int(value) if isinstance(value, float) and value.is_integer() else value).strip()
    if isinstance(value, bool) or not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) < 1:
        raise ValueError(f"{text[:20]!r} is not a whole number above 0 and below 10^9; write for example 224,512")
    return int(text)


def share_below_1(value: Any) -> float:
    """A number from 0 to below 1."""
    try:
        share = float(value)
    except (TypeError, ValueError):
        share = -1.0
    if isinstance(value, bool) or not 0 <= share < 1:
        raise ValueError(f"{str(value)[:20]!r} is not a number from 0 to below 1; write for example 0.5")
    return share


def true_or_false(value: Any) -> bool:
    """A flag."""
    flags = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
    if (text := str(value).lower()) not in flags:
        raise ValueError(f"{str(value)!r} is not allowed; choose true or false")
    return flags[text]


def member_of(kind: type[E], aliases: Mapping[str, str] | None = None) -> Callable[[Any], E]:
    """Reads the name of a member, or another name for it."""
    names = [member.value for member in kind]

    def read(value: Any) -> E:
        name = (aliases or {}).get(str(value), str(value))
        if name not in names:
            near = did_you_mean(str(value), names).rstrip(".?")  # inside a sentence here
            raise ValueError(f"{str(value)!r} is not allowed{near}; choose from {one_of(names)}")
        return kind(name)

    return read


def read_shape(value: Any) -> str:
    """Heads x key_dim x value_dim, and after an `@` the one length for which it is."""
    shape, length = parse_entry(str(value))
    return str(shape) if length is None else f"{shape}@{length}"


def _flag(name: str, help_text: str, description: str, label: str, words: str) -> Axis:
    return Axis(
        name,
        true_or_false,
        help_text,
        description,
        default=False,
        label=lambda on: label * on,
        words=lambda on: words * on,
        title=words if words.isupper() or " " in words else "",
    )


def known(value: Any) -> bool:
    """Whether a case has this setting; a frame holds NaN where it has not."""
    return value not in (None, "") and not (isinstance(value, float) and isnan(value))


def _phase_text(phase: str) -> str:
    return phase.replace("_", " ")


ALL = (
    Axis(
        "resolution",
        read_resolution,
        "Models: input sizes in px, e.g. 224,512, or height x width, 224x320.",
        "models: side of the square input in px, or height x width",
        label=lambda resolution: f"{resolution}px",
        of_size=True,
    ),
    Axis(
        "shape",
        read_shape,
        "Operators: heads x key_dim x value_dim, e.g. 3x32x64,6x32x64.",
        "operators: heads x key_dim x value_dim",
        of_size=True,
        fields=lambda text: parse_entry(text)[0]._asdict(),
    ),
    Axis(
        "length",
        whole_number,
        "Operators: tokens of a sequence, e.g. 196,4096.",
        "operators: tokens of a sequence",
        label=lambda length: f"{length} tokens",
        of_size=True,
    ),
    Axis(
        "scan",
        read_path,
        "Volumes, sliding windows: files of scans, .nii, .nii.gz or .npy, instead of sizes.",
        "sliding_window: file of the scan; empty: random values",
        label=lambda path: f"of {path}" if known(path) else "",
        of_size=True,
        fields=lambda path: {"scan": path, "resolution": resolution_of(path)},
    ),
    Axis(
        "batch_size",
        whole_number,
        "Images (operators: sequences) per iteration, e.g. 1,64.",
        "images (operators: sequences) per iteration",
        default=1,
        label=lambda size: f"b{size}",
        words=lambda size: f"batch {size}",
    ),
    Axis(
        "precision",
        member_of(Precision, PRECISION_ALIASES),
        "float32, bfloat16, float16 (or fp32, bf16, fp16).",
        "dtype of weights and inputs",
        default=Precision.float32,
    ),
    Axis(
        "phase",
        member_of(Phase),
        "inference, training, training_step, of diffusion models sampling, of volumes sliding_window.",
        PHASE_MEANING,
        default=Phase.inference,
        label=lambda phase: "" if phase == Phase.inference else _phase_text(phase),
        words=_phase_text,
    ),
    _flag(
        "compile",
        "torch.compile: true, false, or true,false.",
        "whether the model goes through torch.compile",
        "compiled",
        "compiled",
    ),
    _flag(
        "cuda_graph",
        "Replay one captured CUDA graph (CUDA): true, false.",
        "whether calls are replays of one captured CUDA graph",
        "graph",
        "CUDA graph",
    ),
    Axis(
        "memory_format",
        member_of(MemoryFormat),
        "Memory format of images: contiguous, channels_last.",
        "order of the values of weights and images in memory",
        default=MemoryFormat.contiguous,
        label=lambda order: "" if order == MemoryFormat.contiguous else str(order),
        words=lambda order: "" if order == MemoryFormat.contiguous else order.replace("_", " "),
        before=("channels_last", {False: MemoryFormat.contiguous, True: MemoryFormat.channels_last}),
    ),
    Axis(
        "roi",
        read_resolution,
        "Sliding windows: sides of a window, e.g. 96,128 or 96x96x64.",
        "sliding_window: sides of a window, for which the model is built",
        label=lambda sides: f"roi {sides}" if known(sides) else "",
    ),
    Axis(
        "overlap",
        share_below_1,
        "Sliding windows: share of a window's sides that the next one covers, too, e.g. 0.25,0.5.",
        "sliding_window: share of a window's sides that the next one covers, too",
        label=lambda share: f"overlap {share}" if known(share) else "",
    ),
    Axis(
        "weighting",
        member_of(Weighting),
        "Sliding windows: weights of a window's voxels, gaussian or constant.",
        "sliding_window: weights of a window's voxels where windows overlap",
        label=lambda kind: str(kind) if known(kind) and kind != SLIDING["weighting"] else "",
        words=lambda kind: f"{kind} weights" if known(kind) else "",
    ),
    Axis(
        "window_batch",
        whole_number,
        "Sliding windows: windows of one forward pass (MONAI's sw_batch_size), e.g. 1,4.",
        "sliding_window: windows of one forward pass",
        label=lambda count: f"{count} windows at once" if known(count) and str(count) != "1" else "",
    ),
    Axis(
        "gather",
        member_of(Gathering),
        "Sliding windows: where the result is put together, device or host.",
        "sliding_window: where the result is put together",
        label=lambda where: f"gathered on {where}" if known(where) and where != SLIDING["gather"] else "",
    ),
    Axis(
        "ranks",
        whole_number,
        "Processes, on CUDA one for each GPU, over which a sequence's tokens are cut, e.g. 1,2,4.",
        "processes (CUDA: GPUs) over which an item's tokens are cut",
        default=1,
        label=lambda ranks: f"{ranks} ranks" * (ranks > 1),
    ),
    Axis(
        "exchange",
        member_of(Exchange),
        "Several ranks: how they exchange states, or keys and values: all_gather, ring.",
        "several ranks: how they exchange states, or keys and values",
        label=lambda kind: kind.replace("_", "-") if known(kind) else "",
    ),
    _flag(
        "share_gpu",
        "Several ranks on one GPU where there are fewer GPUs: true, false.",
        "several ranks: whether they may share a GPU",
        "shared GPU",
        "shared GPU",
    ),
    _flag(
        "tf32",
        "TF32 for float32 matrix products on CUDA: true, false.",
        "whether float32 matrix products may use TF32 (CUDA)",
        "tf32",
        "TF32",
    ),
    Axis(
        "threads",
        int,
        "CPU threads; 0 = one per physical core.",
        "CPU threads of torch; 0 = one per physical core available",
        default=0,
        label=lambda threads: f"{threads} thread{'s' * (threads > 1)}" * bool(threads),
        swept=False,
    ),
)
AXES = {axis.name: axis for axis in ALL}
SWEPT = tuple(axis for axis in ALL if axis.swept)
